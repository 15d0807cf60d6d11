import { parseManifest } from "../../manifest/index.ts";
import { encryptAge, encryptionOf } from "../../secrets/index.ts";
import { GantryError, messageOf } from "../../system/errors.ts";
import { writeNew } from "../new-file.ts";
import { placeOf } from "../output/problems.ts";
import { readInputs } from "../read-input.ts";
import type { Call, CommandSpec } from "../spec.ts";

export const encryptCommand: CommandSpec = {
  summary: "Encrypt a manifest of Secrets",
  arguments: [{ syntax: "<file>", description: "a manifest, or - for stdin", complete: "file" }],
  options: [
    { flags: "-r, --recipient <key>", description: "public key (age1…) of who may read it", repeatable: true },
    { flags: "-o, --output <file>", description: "a new file (default: stdout)", complete: "file" },
  ],
  ownOutput: true,
  outputs: [],
  examples: [{ line: "gantry secret encrypt db.yaml -r age1… --output db.yaml.age", does: "in age's armour" }],
  run,
};

async function run({ args, flags, context }: Call): Promise<undefined> {
  const recipients = flags.texts("recipient");
  if (recipients.length === 0) {
    throw new GantryError("usage", "say who may read it: -r age1…", {
      hint: "'gantry secret keygen' printed it; it is in the key file, too, as '# public key'.",
    });
  }
  const { inputs } = await readInputs(args);
  const [input, second] = inputs;
  if (input === undefined || second !== undefined) {
    throw new GantryError("usage", "one file at a time", { hint: "Give the path of a manifest." });
  }
  if (encryptionOf(input.bytes) !== undefined) {
    throw new GantryError("conflict", `${input.path} is encrypted already`, { hint: "Decrypt it first." });
  }
  const { objects, problems } = parseManifest(input.path, input.bytes);
  const broken = problems.find(({ severity }) => severity === "error");
  if (broken !== undefined) {
    throw new GantryError("invalid-manifest", `${placeOf(broken)}: ${broken.message}`, {
      hint: `'gantry validate ${input.path}' shows all that is wrong.`,
    });
  }
  const other = objects.find(({ object }) => object.kind !== "Secret");
  if (objects.length === 0 || other !== undefined) {
    throw new GantryError(
      "invalid-manifest",
      `${input.path} has ${other?.object.kind ?? "nothing"} in it, and only Secrets are taken encrypted`,
      {
        hint: "Put the values into a Secret in a file of its own.",
      },
    );
  }
  let text: string;
  try {
    text = await encryptAge(input.bytes, recipients);
  } catch (cause) {
    throw new GantryError("usage", `this can't be a recipient: ${messageOf(cause)}`, {
      cause,
      hint: "A public key of age begins with age1.",
    });
  }
  const file = flags.text("output");
  if (file === undefined) context.out.write(text);
  else await writeNew(file, text);
}
