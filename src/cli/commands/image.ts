import type { CommandSpec } from "../spec.ts";
import { importImage } from "./image-import.ts";
import { listImages } from "./image-ls.ts";
import { removeImages } from "./image-rm.ts";

export const image: CommandSpec = {
  summary: "List, import and remove images",
  description: "Works with the daemon, and without one on the image store itself.",
  outputs: ["json", "yaml"],
  examples: [
    { line: "gantry image ls", does: "what is there" },
    { line: "gantry image import app.tar app:1", does: "bring one in" },
    { line: "gantry image rm app:1", does: "remove it" },
  ],
  subcommands: { ls: listImages, import: importImage, rm: removeImages },
};
