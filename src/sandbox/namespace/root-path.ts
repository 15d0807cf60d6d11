import { lstat, readlink } from "node:fs/promises";
import { join } from "node:path";
import { isAbsent } from "./files.ts";

const MAX_LINKS = 40;

/**
 * Where `path` leads in a file tree whose root is `root`: symlinks, absolute ones too, are followed as if in a
 * chroot, and ".." stops at the root, so the answer is never outside. For trees that nobody changes meanwhile.
 * @returns an absolute path of the host, of something that may not exist; undefined for a loop of links
 */
export async function resolveInRoot(root: string, path: string): Promise<string | undefined> {
  const todo = path.split("/").filter(Boolean);
  let done: string[] = [];
  for (let links = 0; todo.length > 0; ) {
    const part = todo.shift() ?? "";
    if (part === ".") continue;
    if (part === "..") {
      done.pop();
      continue;
    }
    const target = await linkTarget(join(root, ...done, part));
    if (target === undefined) {
      done.push(part);
      continue;
    }
    if (++links > MAX_LINKS) return undefined;
    if (target.startsWith("/")) done = [];
    todo.unshift(...target.split("/").filter(Boolean));
  }
  return join(root, ...done);
}

async function linkTarget(path: string): Promise<string | undefined> {
  try {
    return (await lstat(path)).isSymbolicLink() ? await readlink(path) : undefined;
  } catch (error) {
    if (isAbsent(error)) return undefined;
    throw error;
  }
}
