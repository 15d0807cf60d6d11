import { mkdtemp } from "node:fs/promises";
import { join } from "node:path";
import { makeDirectory, removeTree } from "../../namespace/files.ts";
import { identify } from "../../namespace/proc.ts";

/** Directories that this process is building something in: the garbage collector leaves them alone. */
const open = new Set<string>();

/** The names tell which process something is of: others may use the same templates. */
const PREFIX = `.new-${process.pid}-`;
/** What the memory of a VM that shares it is called, for as long as it has a name. */
export const PRIVATE_MEMORY = `.memory-${process.pid}-`;

export interface Stage extends AsyncDisposable {
  readonly path: string;
}

/** A new directory among the templates, which is removed with all that is left in it. */
export async function openStage(templates: string): Promise<Stage> {
  await makeDirectory(templates, 0o700);
  const path = await mkdtemp(join(templates, PREFIX));
  open.add(path);
  return {
    path,
    async [Symbol.asyncDispose]() {
      await removeTree(path);
      open.delete(path);
    },
  };
}

/** Left by a process that was killed while it built something: by another, or one before us that had our number. */
export function isAbandoned(templates: string, name: string): boolean {
  const builder = /^\.(?:new|memory)-(\d+)-/.exec(name)?.[1];
  if (builder === undefined || open.has(join(templates, name))) return false;
  return Number(builder) === process.pid || identify(Number(builder)) === undefined;
}
