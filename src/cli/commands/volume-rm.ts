import { isGantryError, toGantryError } from "../../system/errors.ts";
import { exitCodeOf } from "../exit.ts";
import { parsePodRef } from "../parse/pod-name.ts";
import { reportError } from "../report.ts";
import type { Call, CommandSpec } from "../spec.ts";
import { findVolume } from "../volumes.ts";

export const removeVolumes: CommandSpec = {
  summary: "Remove volumes and their data",
  description: "One that a manifest claims or that a pod uses stays: take the claim out of its manifest first.",
  arguments: [{ syntax: "<volumes...>", description: "NAME or NAMESPACE/NAME of their claims", complete: "volume" }],
  options: [{ flags: "--ignore-not-found", description: "one that is not there is fine" }],
  outputs: [],
  examples: [{ line: "gantry volume rm data web/cache", does: "two of them" }],
  run,
};

async function run({ args, flags, context }: Call): Promise<number> {
  let exitCode = 0;
  const client = await context.client();
  for (const text of args) {
    try {
      const { namespace, name } = parsePodRef(text, context);
      const { phase } = await findVolume(context, text);
      if (phase === "Pending") {
        context.out.note(`volume/${namespace}/${name} was not made yet: there is nothing to remove`);
        continue;
      }
      await client.removeVolume(namespace, name);
      context.out.line(`volume/${namespace}/${name} removed`);
    } catch (error) {
      if (flags.on("ignoreNotFound") && isGantryError(error, "not-found")) continue;
      const told = toGantryError(error);
      if (args.length === 1 || exitCodeOf(told.code) === 4 || context.signal.aborted) throw told;
      exitCode = Math.max(exitCode, await reportError(told, context.out, context.verbose));
    }
  }
  return exitCode;
}
