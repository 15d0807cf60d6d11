import type { CommandSpec } from "../spec.ts";
import { exportImages } from "./image-export.ts";
import { collectImages } from "./image-gc.ts";
import { importImage } from "./image-import.ts";
import { listImages } from "./image-ls.ts";
import { pullImages } from "./image-pull.ts";
import { removeImages } from "./image-rm.ts";
import { verifyImages } from "./image-verify.ts";

export const image: CommandSpec = {
  summary: "Pull, list, check, import, export and remove images",
  description: "Works with the daemon, and without one on the image store itself.",
  outputs: ["json", "yaml"],
  examples: [
    { line: "gantry image ls", does: "what is there" },
    { line: "gantry image pull registry.example.com/app:1", does: "fetch one" },
    { line: "gantry image import app.tar app:1", does: "bring one in from a file" },
    { line: "gantry image rm app:1", does: "remove it" },
  ],
  subcommands: {
    ls: listImages,
    pull: pullImages,
    import: importImage,
    export: exportImages,
    verify: verifyImages,
    rm: removeImages,
    gc: collectImages,
  },
};
