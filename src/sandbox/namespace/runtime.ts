import { statSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { basename, delimiter, isAbsolute, join } from "node:path";
import { z } from "zod";
import { GantryError, messageOf } from "../../system/errors.ts";
import { exec } from "../../system/exec.ts";
import { makeTempDir, sweepTempDirs } from "../../system/temp-dirs.ts";
import { removeEmptyCgroup } from "../cgroup/cgroup.ts";
import { detectCgroups } from "../cgroup/host.ts";
import type { Dirs } from "./dirs.ts";
import { makeDirectory, readIfThere, removeTree, writeAtomically } from "./files.ts";
import { mountTable } from "./mounts.ts";
import { bootId } from "./proc.ts";
import { cleanRuntimeMessage } from "./runtime-errors.ts";

/** An OCI runtime on this host. */
export interface Runtime {
  /** For people: "crun". */
  readonly name: string;
  readonly path: string;
  /** Where it keeps its state. */
  readonly root: string;
}

export interface RuntimeFacts {
  readonly name: string;
  readonly path?: string;
  readonly version?: string;
  readonly usable: boolean;
  /** Why not. */
  readonly why?: string;
}

export interface RuntimeChooser {
  /** The binary that a handler, or the driver's own choice, stands for. @throws host-unsupported, command-missing */
  choose(handler: string | undefined, signal: AbortSignal): Promise<Runtime>;
  /** The runtime with this binary; does not care whether it works. */
  at(path: string): Runtime;
  /** Every runtime that was ever used here: what may have left state behind. */
  readonly known: readonly string[];
}

/** In the order of preference: crun starts a container in half of runc's time and a tenth of its memory. */
const PREFERRED: readonly string[] = ["crun", "runc"];

export function createRuntimeChooser(dirs: Dirs, preferred: readonly string[] = PREFERRED): RuntimeChooser {
  let choice: Promise<Runtime> | undefined;
  const at = (path: string): Runtime => ({ name: basename(path), path, root: join(dirs.runtimes, basename(path)) });

  async function pick(signal: AbortSignal): Promise<Runtime> {
    await sweepPreflights(dirs);
    const facts = await probeRuntimes({ dirs, names: preferred, firstOnly: true }, signal);
    const usable = facts.find((fact) => fact.usable);
    if (usable?.path !== undefined) return at(usable.path);
    const why = facts.map((fact) => `${fact.name}: ${fact.why}`).join("; ");
    throw new GantryError("host-unsupported", `no OCI runtime works on this host: ${why}`, {
      hint: "Install crun or runc, and run 'gantry doctor' for what they need.",
    });
  }

  return {
    known: preferred,
    at,
    async choose(handler, signal) {
      if (handler !== undefined && handler !== "") {
        const path = findBinary(handler);
        if (path !== undefined) return at(path);
        throw new GantryError("command-missing", `the OCI runtime "${handler}" is not installed`, {
          hint: "The handler of a RuntimeClass is a program in PATH or an absolute path.",
        });
      }
      choice ??= pick(signal);
      try {
        return await choice;
      } catch (error) {
        choice = undefined; // may work the next time, when somebody has mended the host
        throw error;
      }
    },
  };
}

/** Which OCI runtimes are there, and whether each can run a container here. Tries them; remembers the answer. */
export async function probeRuntimes(
  options: { readonly dirs: Dirs; readonly names?: readonly string[]; readonly firstOnly?: boolean },
  signal: AbortSignal,
): Promise<RuntimeFacts[]> {
  const facts: RuntimeFacts[] = [];
  for (const name of options.names ?? PREFERRED) {
    const fact = await probe(options.dirs, name, signal);
    facts.push(fact);
    if (fact.usable && options.firstOnly) break;
  }
  return facts;
}

async function probe(dirs: Dirs, name: string, signal: AbortSignal): Promise<RuntimeFacts> {
  const path = findBinary(name);
  if (path === undefined) return { name, usable: false, why: "not installed" };
  const key = `${path} ${statSync(path).mtimeMs} ${bootId()} ${cgroupMounts()}`;
  const cached = await readCache(dirs);
  const known = cached[key];
  if (known) return { name, path, ...known };
  const { stdout } = await exec(path, ["--version"], { signal, okCodes: "any" });
  const version = /version ([^\s]+)/.exec(stdout)?.[1] ?? stdout.split("\n")[0] ?? "";
  const why = await preflight(dirs, path, signal);
  const fact = { version, usable: why === undefined, ...(why === undefined ? {} : { why }) };
  // Only what works is remembered: a host that was mended is to be tried again.
  if (fact.usable) await writeAtomically(dirs.preflight, JSON.stringify({ ...cached, [key]: fact }));
  return { name, path, ...fact };
}

/** Runs the host's own `true` in a container of its own. @returns why that does not work, if so */
async function preflight(dirs: Dirs, path: string, signal: AbortSignal): Promise<string | undefined> {
  await makeDirectory(preflightDir(dirs));
  const bundle = await makeTempDir(preflightDir(dirs));
  const id = preflightId(bundle);
  const root = join(bundle, "state");
  try {
    await makeDirectory(join(bundle, "rootfs"));
    await writeFile(join(bundle, "config.json"), JSON.stringify(preflightSpec(join(dirs.cgroup, id))));
    const run = await exec(path, ["--root", root, "run", "--bundle", bundle, id], {
      signal,
      okCodes: "any",
      timeoutMs: 20_000,
    });
    return run.exitCode === 0 ? undefined : cleanRuntimeMessage(run.stderr);
  } catch (error) {
    if (signal.aborted) throw error;
    return messageOf(error);
  } finally {
    await exec(path, ["--root", root, "delete", "--force", id], { okCodes: "any" });
    await removeTree(bundle);
    removeEmptyCgroup(detectCgroups(), dirs.cgroup); // `gantry doctor` leaves nothing; with pods in it, it stays
  }
}

function preflightDir(dirs: Dirs): string {
  return join(dirs.run, "preflight");
}

function preflightId(bundle: string): string {
  return `gantry-preflight-${basename(bundle)}`;
}

/** Removes the trial containers of daemons that were killed in the middle of one. */
async function sweepPreflights(dirs: Dirs): Promise<void> {
  await makeDirectory(preflightDir(dirs));
  await sweepTempDirs(
    preflightDir(dirs),
    () => {}, // the next start finds it again
    async (bundle) => {
      for (const path of PREFERRED.map(findBinary)) {
        const args = ["--root", join(bundle, "state"), "delete", "--force", preflightId(bundle)];
        if (path !== undefined) await exec(path, args, { okCodes: "any" });
      }
    },
  );
}

function preflightSpec(cgroupsPath: string): unknown {
  const shared = ["/bin", "/lib", "/lib64", "/usr"].filter((path) => statSync(path, { throwIfNoEntry: false }));
  return {
    ociVersion: "1.0.2",
    process: {
      user: { uid: 0, gid: 0 },
      args: ["/bin/true"],
      env: ["PATH=/usr/bin:/bin"],
      cwd: "/",
      noNewPrivileges: true,
    },
    root: { path: "rootfs" },
    mounts: [
      { destination: "/proc", type: "proc", source: "proc" },
      { destination: "/dev", type: "tmpfs", source: "tmpfs", options: ["nosuid", "mode=755"] },
      { destination: "/sys/fs/cgroup", type: "cgroup", source: "cgroup", options: ["ro"] },
      ...shared.map((path) => ({ destination: path, type: "bind", source: path, options: ["rbind", "ro"] })),
    ],
    linux: {
      cgroupsPath,
      namespaces: ["mount", "pid", "ipc", "uts", "network"].map((type) => ({ type })),
    },
  };
}

const cacheSchema = z.record(
  z.string(),
  z.object({ version: z.string(), usable: z.boolean(), why: z.string().exactOptional() }),
);

async function readCache(dirs: Dirs): Promise<z.infer<typeof cacheSchema>> {
  try {
    return cacheSchema.parse(JSON.parse((await readIfThere(dirs.preflight)) ?? "{}"));
  } catch {
    return {}; // only a cache: made anew
  }
}

/** What crun's verdict on hybrid cgroups depends on. */
function cgroupMounts(): string {
  return mountTable()
    .filter((mount) => mount.fsType.startsWith("cgroup"))
    .map((mount) => mount.mountPoint)
    .sort()
    .join(",");
}

/** The path of a program, looked up in PATH and where Debian keeps system programs. */
export function findBinary(name: string): string | undefined {
  if (isAbsolute(name)) return isFile(name) ? name : undefined;
  if (name.includes("/")) return undefined;
  const path = `${process.env["PATH"] ?? ""}${delimiter}/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin`;
  for (const directory of path.split(delimiter).filter(isAbsolute)) {
    const candidate = join(directory, name);
    if (isFile(candidate)) return candidate;
  }
  return undefined;
}

/** False also where one may not look: PATH may name directories of others. */
function isFile(path: string): boolean {
  try {
    return statSync(path).isFile();
  } catch {
    return false;
  }
}
