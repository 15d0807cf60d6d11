import { newIdentity } from "../../secrets/index.ts";
import { GantryError } from "../../system/errors.ts";
import { writeNew } from "../new-file.ts";
import type { Call, CommandSpec } from "../spec.ts";

export const keygen: CommandSpec = {
  summary: "Make an age key, and print its public half",
  description:
    "The file gets mode 0600, and is never overwritten. Name it in secrets.age.keys, and keep a copy elsewhere.",
  options: [{ flags: "-o, --output <file>", description: "where the key goes", complete: "file" }],
  ownOutput: true,
  outputs: [],
  examples: [{ line: "gantry secret keygen --output /etc/gantry/age.key", does: "as age-keygen does it" }],
  run,
};

async function run({ flags, context }: Call): Promise<undefined> {
  const { out, now } = context;
  const { identity, recipient } = await newIdentity();
  const text = `# created: ${new Date(now()).toISOString()}\n# public key: ${recipient}\n${identity}\n`;
  const file = flags.text("output");
  if (file === undefined) {
    throw new GantryError("usage", "say where the key goes: --output FILE", { hint: "For example: --output age.key" });
  }
  await writeNew(file, text);
  out.line(recipient);
}
