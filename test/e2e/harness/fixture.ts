import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestProject } from "vitest/node";
import { readySampleImage } from "../../../src/setup/sample.ts";
import { layout } from "../../../src/system/paths.ts";
import { removeTree } from "../../setup/remove-tree.ts";

declare module "vitest" {
  interface ProvidedContext {
    /** An image directory with the sample image in it, to be copied into a root. */
    images: string;
  }
}

/** Builds the sample image once for a whole run of the end-to-end tests. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const root = mkdtempSync(join(tmpdir(), "fixture-"));
  await readySampleImage(root, () => {});
  project.provide("images", layout(root).images);
  return async () => {
    const forgotten = await removeTree(root);
    if (forgotten.length > 0) throw new Error(`The image store left behind: ${forgotten.join(", ")}`);
  };
}
