import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestProject } from "vitest/node";
import { ensureBootFiles } from "../../../src/sandbox/microvm/boot/index.ts";
import { readySampleImage } from "../../../src/setup/sample.ts";
import { layout } from "../../../src/system/paths.ts";
import { removeTree } from "../../setup/remove-tree.ts";
import { BOOT_CACHE } from "../../support/boot-cache.ts";
import { TestHost } from "./host.ts";
import { RUNTIME_CLASSES } from "./runtime-class.ts";
import { podText } from "./sketch.ts";

declare module "vitest" {
  interface ProvidedContext {
    /** An image directory with the sample image in it, to be copied into a root. */
    images: string;
    /** Where all daemons of a run keep the templates of their micro-VMs: most pods are clones then. */
    templates: string;
  }
}

/** Builds once, for a whole run of the end-to-end tests, what each of them would have to: image, kernel, templates. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const root = mkdtempSync(join(tmpdir(), "fixture-"));
  await readySampleImage(root, () => {});
  project.provide("images", layout(root).images);
  await ensureBootFiles({ cacheDir: BOOT_CACHE });
  const templates = mkdtempSync("/dev/shm/gantry-test-templates-");
  project.provide("templates", templates);
  if (RUNTIME_CLASSES.includes("microvm")) await warm(layout(root).images, templates);
  return async () => {
    const forgotten = [...(await removeTree(root)), ...(await removeTree(templates))];
    if (forgotten.length > 0) throw new Error(`The image store left behind: ${forgotten.join(", ")}`);
  };
}

/** Has a first micro-VM pod come and go: what it was cloned from stays for those of the tests. */
async function warm(images: string, templates: string): Promise<void> {
  await using host = new TestHost({ images, runtimeClass: "microvm", vm: { boot: BOOT_CACHE, templates } });
  await host.startDaemon();
  host.write("first.yaml", podText("first"));
  await host.waitReady("first");
}
