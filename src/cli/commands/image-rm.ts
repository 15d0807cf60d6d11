import { isGantryError, toGantryError } from "../../system/errors.ts";
import { exitCodeOf } from "../exit.ts";
import { openImages } from "../images.ts";
import { reportError } from "../report.ts";
import type { Call, CommandSpec } from "../spec.ts";

export const removeImages: CommandSpec = {
  summary: "Remove images",
  description: "Removes a name of an image, and its data with the last name. One that a pod uses stays.",
  arguments: [{ syntax: "<images...>", description: "names or digests", complete: "image" }],
  options: [{ flags: "--ignore-not-found", description: "one that is not there is fine" }],
  outputs: [],
  examples: [{ line: "gantry image rm app:1", does: "by name" }],
  run,
};

async function run({ args, flags, context }: Call): Promise<number> {
  const images = await openImages(context);
  let exitCode = 0;
  for (const name of args) {
    try {
      await images.remove(name);
      context.out.line(`image/${name} removed`);
    } catch (error) {
      if (flags.on("ignoreNotFound") && isGantryError(error, "not-found", "image-missing")) continue;
      const told = toGantryError(error);
      if (args.length === 1 || exitCodeOf(told.code) === 4 || context.signal.aborted) throw told;
      exitCode = Math.max(exitCode, await reportError(told, context.out, context.verbose));
    }
  }
  return exitCode;
}
