import { loadConfig } from "../../config/index.ts";
import { decrypt, encryptionOf, readKeys, Undecryptable } from "../../secrets/index.ts";
import { GantryError } from "../../system/errors.ts";
import { readInputs } from "../read-input.ts";
import type { Call, CommandSpec } from "../spec.ts";

export const decryptCommand: CommandSpec = {
  summary: "Print an encrypted manifest in clear",
  arguments: [{ syntax: "<file>", description: "an age or SOPS file, or - for stdin", complete: "file" }],
  options: [
    {
      flags: "--age-key <file>",
      description: "key file (default: secrets.age.keys)",
      complete: "file",
      repeatable: true,
    },
  ],
  outputs: [],
  examples: [{ line: "gantry secret decrypt db.yaml.age | gantry validate -", does: "look for what is wrong in it" }],
  run,
};

async function run({ args, flags, context }: Call): Promise<undefined> {
  const given = flags.texts("ageKey");
  const keys = readKeys(given.length > 0 ? given : (await loadConfig({ paths: context.paths })).secrets.age.keys);
  for (const { path, bytes } of (await readInputs(args)).inputs) {
    const encryption = encryptionOf(bytes);
    if (encryption === undefined) {
      throw new GantryError("conflict", `${path} is not encrypted`, { hint: "Give an age or SOPS file." });
    }
    try {
      context.out.write(await decrypt(bytes, encryption, keys));
    } catch (error) {
      if (!(error instanceof Undecryptable)) throw error;
      const place = `${path}:${error.line}:${error.column}`;
      throw new GantryError("invalid-manifest", `${place}: ${error.message}`, { hint: error.hint, cause: error });
    }
  }
}
