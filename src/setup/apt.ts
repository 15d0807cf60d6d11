import { spawnSync } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";

const LISTS = "/var/lib/apt/lists";

/** True when packages can be installed here without asking anyone: Debian's tools, and root. */
export function canInstall(): boolean {
  return process.geteuid?.() === 0 && existsSync("/usr/bin/apt-get") && existsSync("/usr/bin/dpkg");
}

/**
 * Installs `packages` with one call of apt-get; refreshes the package lists first when there are none, and once more
 * when the installation failed, as it does with lists that have grown old.
 * @returns what went wrong, or undefined
 */
export function install(packages: readonly string[]): string | undefined {
  if (!hasLists()) {
    const problem = aptGet(["update", "-q"]);
    if (problem !== undefined) return problem;
    return aptGet(["install", "-qy", "--no-install-recommends", ...packages]);
  }
  if (aptGet(["install", "-qy", "--no-install-recommends", ...packages]) === undefined) return undefined;
  return aptGet(["update", "-q"]) ?? aptGet(["install", "-qy", "--no-install-recommends", ...packages]);
}

function hasLists(): boolean {
  try {
    return readdirSync(LISTS).some((name) => name.includes("_Packages"));
  } catch {
    return false;
  }
}

/** Quiet when it works; the end of what it printed is the answer when it does not. */
function aptGet(args: readonly string[]): string | undefined {
  // Another apt may be at work on a machine that was started just now: wait for it.
  const run = spawnSync("apt-get", ["-o", "DPkg::Lock::Timeout=120", ...args], {
    env: { ...process.env, DEBIAN_FRONTEND: "noninteractive", LANG: "C" },
    stdio: ["ignore", "pipe", "pipe"],
    encoding: "utf8",
    maxBuffer: 64 * 1024 * 1024,
  });
  // "update" exits 0 even when it reached no server; the installation that follows tells.
  if (run.status === 0) return undefined;
  const said = run.error === undefined ? `${run.stdout}\n${run.stderr}` : run.error.message;
  return `apt-get ${args[0] ?? ""}: ${said.trim().split("\n").slice(-5).join("\n")}`;
}
