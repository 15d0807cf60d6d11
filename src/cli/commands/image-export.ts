import { createWriteStream } from "node:fs";
import { rename, rm, stat } from "node:fs/promises";
import { pipeline } from "node:stream/promises";
import { GantryError, toGantryError } from "../../system/errors.ts";
import { openImages } from "../images.ts";
import { withProgress } from "../output/progress.ts";
import { count, formatBytes } from "../output/text.ts";
import type { Call, CommandSpec } from "../spec.ts";

export const exportImages: CommandSpec = {
  summary: "Write images into one file, for a host without a registry",
  description:
    "Makes an OCI archive; layers that images share are in it once. 'gantry image import FILE' brings all of them in again,\n" +
    "and a file in the preload folder (setting images.preload) is imported when the daemon starts.",
  arguments: [{ syntax: "<images...>", description: "names or digests", complete: "image" }],
  options: [{ flags: "-o, --output <file>", description: "the file to write; - for stdout", complete: "file" }],
  outputs: [],
  ownOutput: true,
  examples: [
    { line: "gantry image export app:1 db:2 -o images.tar", does: "two images in one file" },
    { line: "gantry image export app:1 -o - | ssh host gantry image import -", does: "to another host" },
  ],
  run,
};

async function run({ args, flags, context }: Call): Promise<undefined> {
  const file = flags.text("output");
  if (file === undefined) {
    throw new GantryError("usage", "say which file to write", { hint: "gantry image export IMAGE -o FILE" });
  }
  if (file === "-" && process.stdout.isTTY) {
    throw new GantryError("usage", "an archive is not for a terminal", { hint: "Write it to a file: -o FILE" });
  }
  const images = await openImages(context);
  const { signal } = context;
  const archive = await images.export(args, signal);
  if (file === "-") {
    await pipeline(archive, process.stdout, { signal, end: false });
    return undefined;
  }
  const partial = `${file}.partial`;
  try {
    const write = pipeline(archive, createWriteStream(partial), { signal });
    await withProgress(`writing ${file}`, write);
    await rename(partial, file);
  } catch (error) {
    await rm(partial, { force: true });
    throw toGantryError(error, "internal", `cannot write ${file}`);
  }
  context.out.line(`${file}  ${count(args.length, "image")}  ${formatBytes((await stat(file)).size)}`);
  return undefined;
}
