import { GantryError } from "../../system/errors.ts";
import { printable } from "../output/text.ts";
import { readInputs } from "../read-input.ts";
import type { Call, CommandSpec } from "../spec.ts";

export const apply: CommandSpec = {
  summary: "Put manifests into the folder",
  description:
    "Checks manifests and writes them into the folder that the daemon watches, which starts or changes their pods.\n" +
    "Nothing is written when anything is wrong with them.",
  options: [
    {
      flags: "-f, --filename <path>",
      description: "a file, a folder, or - for stdin; may be repeated",
      complete: "file",
      repeatable: true,
    },
  ],
  outputs: ["json", "yaml"],
  examples: [
    { line: "gantry apply -f web.yaml", does: "one file" },
    { line: "cat web.yaml | gantry apply -f -", does: "from stdin" },
  ],
  run,
};

async function run({ flags, context }: Call): Promise<undefined> {
  const paths = flags.texts("filename");
  if (paths.length === 0) {
    throw new GantryError("usage", "say which manifests to apply", { hint: "gantry apply -f FILE, or -f - for stdin" });
  }
  const { inputs, problems } = await readInputs(paths);
  const [unread] = problems;
  if (unread !== undefined) {
    throw new GantryError("usage", `${unread.place.file}: ${unread.message}`, {
      hint: unread.hint ?? "Nothing was applied. Mend or remove it, or name the files that you mean.",
    });
  }
  const client = await context.client();
  const results = [];
  for (const { bytes, fileName } of inputs) {
    const text = new TextDecoder().decode(bytes);
    const applied = await client.apply(text, fileName === undefined ? {} : { fileName });
    results.push(...applied);
    if (context.out.format === "json" || context.out.format === "yaml") continue;
    for (const { kind, namespace, name, outcome, file } of applied) {
      const where = namespace === "default" ? name : `${namespace}/${name}`;
      context.out.line(printable(`${kind.toLowerCase()}/${where} ${outcome} (${file})`));
    }
  }
  if (context.out.format === "json" || context.out.format === "yaml") {
    await context.out.structured({ items: results });
  }
  return undefined;
}
