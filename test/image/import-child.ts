/** Imports an image in a process of its own: import-child.ts ROOT FILE NAME */
import { createImageStore } from "../../src/image/index.ts";
import { systemClock } from "../../src/system/clock.ts";
import { silentLogger } from "../../src/system/log.ts";
import { layout } from "../../src/system/paths.ts";

const [, , root = "", file = "", name = ""] = process.argv;
const store = createImageStore({ paths: layout(root), log: silentLogger(), clock: systemClock });
const image = await store.import(file, name, new AbortController().signal);
console.log(image.digest);
