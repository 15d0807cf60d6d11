import type { Call, CommandSpec } from "../spec.ts";
import { required } from "./trust-add.ts";

export const removeTrust: CommandSpec = {
  summary: "Remove the rule of a prefix",
  options: [{ flags: "--prefix <prefix>", description: "as 'gantry trust ls' shows it" }],
  outputs: [],
  ownHost: true,
  examples: [
    { line: "gantry trust rm --prefix registry.example.com/team", does: "a wider rule, or the default, decides now" },
  ],
  run,
};

async function run({ flags, context }: Call): Promise<undefined> {
  const prefix = required(flags);
  const { removeRule } = await import("../../trust/edit.ts");
  await removeRule(context.paths.etc, prefix);
  context.out.line(`trust/${prefix} removed`);
  return undefined;
}
