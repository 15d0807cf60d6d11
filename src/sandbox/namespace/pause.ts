import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { GantryError, isGantryError } from "../../system/errors.ts";
import { exec } from "../../system/exec.ts";
import type { Context } from "./context.ts";
import { pauseId, podCgroup, type SandboxFiles } from "./dirs.ts";
import { makeDirectory, readIfThere } from "./files.ts";
import { identify, type ProcessId } from "./proc.ts";
import type { SandboxRecord } from "./records.ts";
import { findBinary, type Runtime } from "./runtime.ts";
import { cleanRuntimeMessage } from "./runtime-errors.ts";
import { idMapping } from "./userns.ts";

/**
 * Starts the process that owns the pid namespace of a pod with shareProcessNamespace: it lives as long as the pod
 * and reaps what the apps leave behind. It runs in a hidden container with nothing in its root but itself.
 * @throws GantryError command-missing, runtime-failed
 */
export async function startPause(
  ctx: Context,
  runtime: Runtime,
  record: SandboxRecord,
  files: SandboxFiles,
  signal: AbortSignal,
): Promise<ProcessId> {
  const binary = findBinary("catatonit");
  if (binary === undefined) {
    throw new GantryError("command-missing", "catatonit is not installed, which shareProcessNamespace needs", {
      hint: "Install it: apt-get install catatonit",
    });
  }
  const id = pauseId(record.config.id);
  for (const name of ["dev", "proc"]) await makeDirectory(join(files.pause, "rootfs", name), 0o755);
  await writeFile(join(files.pause, "rootfs", "pause"), "");
  await writeFile(join(files.pause, "config.json"), JSON.stringify(pauseSpec(ctx, record, files, binary, id)));
  const pidFile = join(files.pause, "pid");
  const log = join(files.pause, "log");
  const run = [
    runtime.path,
    "--root",
    runtime.root,
    "run",
    "--detach",
    "--bundle",
    files.pause,
    "--pid-file",
    pidFile,
    id,
  ];
  try {
    // The paused process keeps what it inherits: with our pipes we would wait for its end.
    await exec("/bin/sh", ["-c", 'exec "$@" >"$0" 2>&1 </dev/null', log, ...run], { signal });
  } catch (error) {
    if (!isGantryError(error, "command-failed")) throw error;
    const said = cleanRuntimeMessage((await readIfThere(log)) ?? "");
    throw new GantryError("runtime-failed", `${runtime.name} cannot create the shared pid namespace: ${said}`, {
      kind: "system",
      cause: error,
    });
  }
  const pause = identify(Number(await readIfThere(pidFile)));
  if (pause) return pause;
  throw new GantryError("runtime-failed", "the process that holds the shared pid namespace ended at once", {
    kind: "system",
  });
}

function pauseSpec(ctx: Context, record: SandboxRecord, files: SandboxFiles, binary: string, id: string): unknown {
  const mapping = record.firstHostId === undefined ? undefined : [idMapping(record.firstHostId)];
  return {
    ociVersion: "1.0.2",
    process: {
      user: { uid: 0, gid: 0 },
      args: ["/pause", "-P"],
      env: [],
      cwd: "/",
      noNewPrivileges: true,
      capabilities: {},
    },
    root: { path: "rootfs", readonly: true },
    mounts: [
      // crun wants a /dev, runc a /proc
      { destination: "/proc", type: "proc", source: "proc", options: ["nosuid", "noexec", "nodev"] },
      { destination: "/dev", type: "tmpfs", source: "tmpfs", options: ["nosuid", "mode=755", "size=64k"] },
      { destination: "/pause", type: "bind", source: binary, options: ["bind", "ro", "nosuid", "nodev"] },
    ],
    linux: {
      cgroupsPath: `${podCgroup(ctx.dirs, record.config.pod.uid)}/${id}`,
      namespaces: [
        { type: "mount" },
        { type: "pid" },
        ...(mapping === undefined ? [] : [{ type: "user", path: files.user }]),
      ],
      ...(mapping === undefined ? {} : { uidMappings: mapping, gidMappings: mapping }),
    },
  };
}
