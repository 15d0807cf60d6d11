import { GantryError } from "../../system/errors.ts";
import { nearestName } from "../../system/nearest.ts";
import { SCRIPTS, SHELLS } from "../completion/scripts.ts";
import type { Call, CommandSpec } from "../spec.ts";

export const completion: CommandSpec = {
  summary: "Print a completion script for your shell",
  description: "Completes commands, flags, and the names of pods, containers and images as they are at that moment.",
  arguments: [{ syntax: "<shell>", description: SHELLS.join(", "), complete: SHELLS }],
  outputs: [],
  examples: [
    { line: "source <(gantry completion bash)", does: "for this shell" },
    { line: "gantry completion bash > /etc/bash_completion.d/gantry", does: "for every one" },
  ],
  run,
};

async function run({ args, context }: Call): Promise<undefined> {
  const [wanted = ""] = args;
  const shell = SHELLS.find((name) => name === wanted);
  if (shell === undefined) {
    const near = nearestName(wanted, SHELLS);
    throw new GantryError("usage", `there is no completion for '${wanted}'`, {
      hint: near === undefined ? `Choose one of: ${SHELLS.join(", ")}.` : `Did you mean '${near}'?`,
    });
  }
  context.out.write(SCRIPTS[shell]);
  return undefined;
}
