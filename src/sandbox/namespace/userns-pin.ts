import { spawn } from "node:child_process";
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { GantryError, messageOf } from "../../system/errors.ts";
import { exec } from "../../system/exec.ts";
import type { SandboxFiles } from "./dirs.ts";
import type { PinnedNamespace } from "./pins.ts";
import { idMapping } from "./userns.ts";

const PIN_ALL = 'set -e; while [ $# -gt 0 ]; do mount -i --bind "$1" "$2"; shift 2; done';

/**
 * Has unshare(1) make a user namespace together with the others that it is to own, and writes its maps and pins them all
 * from outside: from inside it may no longer mount for the host, and its own --map-users needs newuidmap, of a
 * package that root has no other use for.
 * @throws GantryError host-unsupported, cancelled
 */
export async function pinUserNamespace(
  own: readonly PinnedNamespace[],
  files: SandboxFiles,
  firstHostId: number,
  signal: AbortSignal,
): Promise<void> {
  if (signal.aborted)
    throw new GantryError("cancelled", "cancelled before the user namespace was made", { kind: "system" });
  const child = spawn("unshare", [...own.map((name) => `--${name}`), "/bin/sh", "-c", "echo made; read -r pinned"], {
    env: { PATH: process.env["PATH"] ?? "/usr/sbin:/usr/bin:/sbin:/bin", LANG: "C" },
    stdio: ["pipe", "pipe", "pipe"],
    signal,
    killSignal: "SIGKILL",
  });
  let stderr = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    stderr += text;
  });
  child.stdin.on("error", () => {}); // it ended early: its exit code says so
  const ended = once(child, "close"); // rejects when aborted, or without unshare
  ended.catch(() => {});
  try {
    // The first output comes when the namespaces are there.
    await Promise.race([once(child.stdout, "data"), ended]);
    const { containerID, hostID, size } = idMapping(firstHostId);
    const map = `${containerID} ${hostID} ${size}\n`;
    if (child.exitCode === null) {
      await writeFile(`/proc/${child.pid}/uid_map`, map);
      await writeFile(`/proc/${child.pid}/gid_map`, map);
      const pairs = own.flatMap((name) => [`/proc/${child.pid}/ns/${name}`, files[name]]);
      await exec("/bin/sh", ["-c", PIN_ALL, "pin", ...pairs], { signal });
      child.stdin.end("pinned\n");
    }
    await ended;
  } catch (cause) {
    child.kill("SIGKILL");
    if (signal.aborted)
      throw new GantryError("cancelled", "making the user namespace was cancelled", { kind: "system", cause });
    throw unsupported(messageOf(cause), cause);
  }
  if (child.exitCode !== 0) throw unsupported(stderr.trim());
}

function unsupported(why: string, cause?: unknown): GantryError {
  return new GantryError("host-unsupported", `this host cannot make a user namespace: ${why}`, {
    kind: "system",
    cause,
    hint: "hostUsers: false needs user.max_user_namespaces > 0 and a kernel with CONFIG_USER_NS.",
  });
}
