import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import type { SourceState } from "../../src/source/index.ts";

export interface TempFolder {
  readonly path: string;
  write(name: string, text: string | Buffer): string;
  remove(): void;
}

export function tempFolder(): TempFolder {
  const path = mkdtempSync(join(tmpdir(), "gantry-source-"));
  return {
    path,
    write(name, text) {
      const file = join(path, name);
      mkdirSync(dirname(file), { recursive: true });
      writeFileSync(file, text);
      return file;
    },
    remove: () => rmSync(path, { recursive: true, force: true }),
  };
}

export function podText(name: string, image = "busybox:1"): string {
  return `apiVersion: v1\nkind: Pod\nmetadata:\n  name: ${name}\nspec:\n  containers:\n  - name: app\n    image: ${image}\n`;
}

export function names(state: SourceState): string[] {
  return state.objects.map((loaded) => loaded.object.metadata.name + (loaded.stale ? " (stale)" : "")).sort();
}

export function images(state: SourceState): string[] {
  return state.objects
    .flatMap(({ object }) => (object.kind === "Pod" ? object.spec.containers.map((container) => container.image) : []))
    .sort();
}

/** Looks until `done` is true of what it sees; fails with the last thing it saw. */
export async function eventually<T>(look: () => Promise<T>, done: (seen: T) => boolean, what: string): Promise<T> {
  const deadline = Date.now() + 15_000;
  for (;;) {
    const seen = await look();
    if (done(seen)) return seen;
    if (Date.now() > deadline)
      throw new Error(`never happened: ${what}; last seen: ${JSON.stringify(seen).slice(0, 2000)}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
