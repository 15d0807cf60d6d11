import { createHash } from "node:crypto";
import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { GantryError, messageOf } from "../../system/errors.ts";
import { exec } from "../../system/exec.ts";
import type { Logger } from "../../system/log.ts";
import { makeDirectory, readIfThere, writeAtomically } from "../namespace/files.ts";
import type { OciSeccomp } from "../namespace/oci/types.ts";
import { findBinary } from "../namespace/runtime.ts";

/** A filter as the kernel takes it: base64 of struct sock_filter[]. The flags of it only matter to who watches the kernel. */
export type SeccompCompiler = (filter: OciSeccomp) => Promise<string>;

/**
 * Compiles with the OCI runtime that namespace pods use (crun leaves the filter in its state), once per filter: both
 * classes get the very same one, and we need no table of system call numbers.
 */
export function createSeccompCompiler(directory: string, log: Logger): SeccompCompiler {
  const compiled = new Map<string, Promise<string>>();
  return (filter) => {
    const key = createHash("sha256").update(JSON.stringify(filter)).digest("hex").slice(0, 32);
    const known = compiled.get(key) ?? load(join(directory, `${key}.bpf`), filter, log);
    compiled.set(key, known);
    known.catch(() => compiled.delete(key));
    return known;
  };
}

async function load(path: string, profile: OciSeccomp, log: Logger): Promise<string> {
  const kept = await readIfThere(path);
  if (kept !== undefined) return kept;
  const filter = await compile(`${path}.work`, profile);
  try {
    await makeDirectory(join(path, ".."), 0o700);
    await writeAtomically(path, filter, 0o600);
  } catch (error) {
    log.debug({ reason: messageOf(error) }, "the compiled seccomp filter is kept in memory only");
  }
  return filter;
}

/** Creates a container that is never started, for what the runtime compiles on the way. */
async function compile(work: string, seccomp: OciSeccomp): Promise<string> {
  const crun = findBinary("crun");
  if (crun === undefined) {
    throw new GantryError("command-missing", "crun is not installed, which compiles seccomp filters for micro-VMs", {
      hint: "Install it: apt-get install crun; or set seccompProfile.type: Unconfined.",
    });
  }
  const id = `gantry-seccomp-${process.pid}-${createHash("sha256").update(work).digest("hex").slice(0, 8)}`;
  const state = join(work, "state");
  const options = ["--root", state, "--cgroup-manager", "disabled"];
  await rm(work, { recursive: true, force: true });
  try {
    for (const name of ["state", "rootfs/proc", "rootfs/dev"]) await mkdir(join(work, name), { recursive: true });
    await writeFile(join(work, "rootfs/app"), "", { mode: 0o755 });
    await writeFile(join(work, "config.json"), JSON.stringify(bundle(seccomp)));
    const create = [crun, ...options, "create", "--bundle", work, id];
    // The container keeps what it inherits: with our pipes we would wait for its end.
    await exec("/bin/sh", ["-c", 'exec "$@" >"$0" 2>&1 </dev/null', join(work, "log"), ...create]);
    const filter = await readFile(join(state, id, "seccomp.bpf"));
    await exec(crun, [...options, "delete", "--force", id], { okCodes: "any" });
    if (filter.length > 0 && filter.length % 8 === 0) return filter.toString("base64");
    throw new GantryError("runtime-failed", "crun compiled no seccomp filter", { kind: "system" });
  } catch (error) {
    const said = (await readIfThere(join(work, "log"))) ?? "";
    throw new GantryError("runtime-failed", `cannot compile the seccomp filter: ${said.trim() || messageOf(error)}`, {
      kind: "system",
      hint: "Check the profile that seccompProfile names; without one: is crun in order? See 'gantry doctor'.",
      cause: error,
    });
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

function bundle(seccomp: OciSeccomp): unknown {
  return {
    ociVersion: "1.0.2",
    process: { user: { uid: 0, gid: 0 }, args: ["/app"], env: [], cwd: "/", noNewPrivileges: true, capabilities: {} },
    root: { path: "rootfs", readonly: true },
    mounts: [
      { destination: "/proc", type: "proc", source: "proc" },
      { destination: "/dev", type: "tmpfs", source: "tmpfs", options: ["mode=755", "size=64k"] },
    ],
    linux: { namespaces: [{ type: "mount" }, { type: "pid" }], seccomp },
  };
}
