import { readFileSync } from "node:fs";
import { exec } from "../../system/exec.ts";

/** One line of /proc/self/mountinfo, see proc_pid_mountinfo(5). */
export interface Mount {
  readonly mountPoint: string;
  readonly fsType: string;
  readonly options: readonly string[];
}

/** Every mount in our mount namespace, oldest first. */
export function mountTable(text: string = readFileSync("/proc/self/mountinfo", "utf8")): Mount[] {
  return text
    .split("\n")
    .filter(Boolean)
    .map((line) => {
      const [before = "", after = ""] = line.split(" - ");
      const fields = before.split(" ");
      const [fsType = "", , superOptions = ""] = after.split(" ");
      return { mountPoint: unescapePath(fields[4] ?? ""), fsType, options: superOptions.split(",") };
    });
}

/**
 * Mount points at or below `directory`, the innermost and youngest first: the order for taking them down. Only lines
 * that may be meant are taken apart: a host with a thousand pods has many thousand mounts.
 */
export function mountsBelow(directory: string): string[] {
  const start = ` ${escapePath(directory)}`;
  const lines = readFileSync("/proc/self/mountinfo", "utf8")
    .split("\n")
    .filter((line) => line.includes(start));
  return mountTable(lines.join("\n"))
    .map((mount) => mount.mountPoint)
    .filter((path) => path === directory || path.startsWith(`${directory}/`))
    .reverse();
}

/**
 * Takes down every mount at or below `directory`. What is busy is detached lazily: it goes away with its last user.
 * @throws GantryError command-failed when something is still there
 */
export async function unmountBelow(directory: string, signal?: AbortSignal): Promise<string[]> {
  const before = mountsBelow(directory);
  if (before.length === 0) return before;
  const options = { okCodes: "any", ...(signal ? { signal } : {}) } as const;
  const { exitCode } = await exec("umount", ["--no-canonicalize", "--", ...before], options);
  if (exitCode === 0) return before;
  const left = mountsBelow(directory);
  if (left.length > 0)
    await exec("umount", ["--no-canonicalize", "--lazy", "--", ...left], { ...options, okCodes: [0] });
  return before;
}

/** Blanks, tabs, newlines and backslashes are written as \ooo. */
function unescapePath(path: string): string {
  return path.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
}

function escapePath(path: string): string {
  return path.replace(/[ \t\n\\]/g, (char) => `\\${char.charCodeAt(0).toString(8).padStart(3, "0")}`);
}
