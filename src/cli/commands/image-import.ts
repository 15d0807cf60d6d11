import type { Image } from "../../image/contract.ts";
import { normalizeName } from "../../image/name.ts";
import { openImages } from "../images.ts";
import { withProgress } from "../output/progress.ts";
import { formatBytes } from "../output/text.ts";
import type { Call, CommandSpec } from "../spec.ts";

export const importImage: CommandSpec = {
  summary: "Bring in an image from a file, a directory or stdin",
  description:
    "Takes a docker-archive, an OCI archive or layout, or a plain root file system (tar or directory); told apart by content.\n" +
    "Without a name every image of the archive comes in, each by its own names.",
  arguments: [
    { syntax: "<source>", description: "a file, a directory, or - for stdin", complete: "file" },
    { syntax: "[name]", description: "what to call it, like app:1 or localhost/app:1" },
  ],
  outputs: ["json", "yaml"],
  examples: [
    { line: "docker save app:1 | gantry image import - app:1", does: "from another engine" },
    { line: "gantry image import images.tar", does: "all that 'gantry image export' has put into it" },
    { line: "gantry image import ./rootfs app:1", does: "a directory that is a root file system" },
  ],
  run,
};

async function run({ args, context }: Call): Promise<undefined> {
  const [source = "", name] = args;
  const { out } = context;
  const images = await openImages(context);
  const structured = out.format === "json" || out.format === "yaml";
  if (name === undefined) {
    const brought = await withProgress(`importing ${source}`, images.importAll(source, context.signal));
    if (structured) await out.structured({ items: brought });
    else for (const image of brought) for (const own of image.names) out.line(lineOf(own, image));
    return undefined;
  }
  const image = await withProgress(`importing ${name}`, images.import(source, name, context.signal));
  if (structured) await out.structured(image);
  else out.line(lineOf(normalizeName(name), image));
  return undefined;
}

function lineOf(name: string, image: Image): string {
  return `${name}  ${image.digest}  ${formatBytes(image.sizeBytes)}`;
}
