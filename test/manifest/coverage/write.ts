/** npm run coverage-page: brings the page of all fields in README.md up to date. */
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { withPage } from "./page.ts";

const file = fileURLToPath(new URL("../../../README.md", import.meta.url));
const before = readFileSync(file, "utf8");
const after = withPage(before);
if (after !== before) writeFileSync(file, after);
console.log(`README.md ${after === before ? "is" : "was brought"} up to date`);
