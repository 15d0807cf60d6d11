import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, rmdirSync } from "node:fs";

const FOLDER = "/run/netns";

/**
 * `ip netns add` makes its folder, and mounts it onto itself, when it is first used on a host: see ip-netns(8).
 * @returns puts both back as they were before, unless somebody has a namespace there by now
 */
export function watchNamedNamespaces(): () => void {
  if (isMounted()) return () => {};
  const hadFolder = existsSync(FOLDER);
  return () => {
    if (process.geteuid?.() !== 0 || !existsSync(FOLDER) || readdirSync(FOLDER).length > 0) return;
    if (isMounted()) execFileSync("umount", [FOLDER]);
    if (!hadFolder) rmdirSync(FOLDER);
  };
}

function isMounted(): boolean {
  return readFileSync("/proc/self/mountinfo", "utf8")
    .split("\n")
    .some((line) => line.split(" ")[4] === FOLDER);
}
