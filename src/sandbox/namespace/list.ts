import { existsSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { setImmediate } from "node:timers/promises";
import { hadOom } from "../cgroup/cgroup.ts";
import type { ObservedContainer, ObservedSandbox } from "../driver.ts";
import type { Context } from "./context.ts";
import { type ContainerFiles, containerFiles, podCgroup, sandboxFiles } from "./dirs.ts";
import { isAbsent, readTail } from "./files.ts";
import { pinsIntact } from "./pins.ts";
import { argumentsOf, identify, isAlive, startedAtMs } from "./proc.ts";
import type { SandboxRecord } from "./records.ts";

const TERMINATION_MESSAGE_BYTES = 4096;

/** After so many sandboxes whatever else waits has its turn. */
const SLICE = 50;

/**
 * Every wanted sandbox that has a directory. Reads files and /proc only, starts no process.
 * Synchronously, since that takes a small part of the CPU time: 40 µs a sandbox.
 */
export async function listSandboxes(ctx: Context, wanted: (id: string) => boolean): Promise<ObservedSandbox[]> {
  const ids = ctx.folders.entries(ctx.dirs.sandboxes).filter(wanted);
  const found: ObservedSandbox[] = [];
  for (const [index, id] of ids.entries()) {
    if (index % SLICE === SLICE - 1) await setImmediate();
    const observed = await observeSandbox(ctx, id);
    if (observed) found.push(observed);
  }
  return found;
}

/** Undefined when there is none. One whose record is damaged is not-ready and belongs to nobody. */
export async function observeSandbox(ctx: Context, id: string): Promise<ObservedSandbox | undefined> {
  const files = sandboxFiles(ctx.dirs, id);
  const record = await ctx.records.sandbox(files.record).catch(() => undefined);
  if (!record) return existsSync(files.root) ? damagedSandbox(id) : undefined;
  const { config } = record;
  const ids = ctx.folders.entries(files.containers);
  const containers = await Promise.all(ids.map((containerId) => observeContainer(ctx, record, containerId)));
  for (const containerId of ids) ctx.owners.set(containerId, id);
  const ready =
    record.phase === "ready" &&
    (config.hostNetwork || ctx.network.isIntact(id)) &&
    record.bootId === ctx.bootId &&
    pinsIntact(record.inodes, config, files) &&
    (record.pause === undefined || isAlive(record.pause));
  return {
    id,
    runtimeClass: "namespace",
    pod: config.pod,
    attempt: config.attempt,
    state: ready ? "ready" : "not-ready",
    createdAt: record.createdAt,
    ips: ready ? record.ips : [],
    labels: config.labels,
    containers: containers.filter((container) => container !== undefined),
    detail: {
      runtime: record.runtime,
      phase: record.phase,
      ...(config.hostNetwork ? {} : { netns: files.net }),
      ...(record.firstHostId === undefined ? {} : { firstHostId: String(record.firstHostId) }),
    },
  };
}

function damagedSandbox(id: string): ObservedSandbox {
  return {
    id,
    runtimeClass: "namespace",
    pod: { namespace: "", name: "", uid: "" },
    attempt: 0,
    state: "not-ready",
    createdAt: 0,
    ips: [],
    labels: {},
    containers: [],
    detail: { phase: "damaged" },
  };
}

/** Undefined when there is none. */
export async function observeContainer(
  ctx: Context,
  sandbox: SandboxRecord,
  id: string,
): Promise<ObservedContainer | undefined> {
  const files = containerFiles(ctx.dirs, sandbox.config.id, id);
  const record = await ctx.records.container(files.record).catch(() => undefined);
  if (!record) return existsSync(files.root) ? damagedContainer(id) : undefined;
  const { name, attempt, specHash, labels, imageDigest, imageName, logPath, createdAt } = record;
  const facts = { id, name, attempt, specHash, labels, imageDigest, imageName, logPath, createdAt };
  const ended = exitOf(ctx, files);
  // An app may end before its start was noted, and a crash may keep it from being noted: just before, it was created.
  const started = record.startedAt ?? (ended ? createdAt : undefined);
  const startedAt = started === undefined ? {} : { startedAt: started };
  if (ended)
    return { ...facts, ...startedAt, ...ended, ...(await aftermath(ctx, sandbox, id, files)), state: "exited" };
  const { process } = record;
  if (record.phase === "creating" || process === undefined || record.bootId !== ctx.bootId) {
    return { ...facts, ...startedAt, state: "unknown" };
  }
  const { pid } = process;
  if (monitorAlive(ctx, files)) {
    // Also when it is dead: until its monitor has said how it ended, it is what it was.
    if (record.startedAt !== undefined) return { ...facts, startedAt: record.startedAt, state: "running", pid };
    // The runtimes remove this fifo when they let the app go: the record could be older than that.
    const waiting = existsSync(join(ctx.runtimes.at(sandbox.runtime).root, id, "exec.fifo"));
    if (waiting || !isAlive(process)) return { ...facts, state: "created", pid };
    return { ...facts, startedAt: ctx.clock.ofHost(startedAtMs(process)), state: "running", pid };
  }
  // Without its monitor it logs into the void, and nobody will learn how it ends: as good as lost.
  const late = exitOf(ctx, files);
  if (late) return { ...facts, ...startedAt, ...late, ...(await aftermath(ctx, sandbox, id, files)), state: "exited" };
  return { ...facts, ...startedAt, state: "unknown", ...(isAlive(process) ? { pid } : {}) };
}

/** What conmon left behind: the code, 128 + n for a signal, in a file that it wrote when the app ended. */
function exitOf(
  ctx: Pick<Context, "clock">,
  files: ContainerFiles,
): { exitCode: number; finishedAt: number } | undefined {
  const stat = statSync(files.exit, { throwIfNoEntry: false }); // an exception would cost more than the rest
  if (stat === undefined) return undefined;
  try {
    return {
      exitCode: Number(readFileSync(files.exit, "utf8").trim()),
      finishedAt: ctx.clock.ofHost(Math.round(stat.mtimeMs)),
    };
  } catch (error) {
    if (isAbsent(error)) return undefined;
    throw error;
  }
}

async function aftermath(
  ctx: Context,
  sandbox: SandboxRecord,
  id: string,
  files: ContainerFiles,
): Promise<Pick<ObservedContainer, "oomKilled" | "terminationMessage">> {
  const cgroup = `${podCgroup(ctx.dirs, sandbox.config.pod.uid)}/${id}`;
  const message = await readTail(files.terminationMessage, TERMINATION_MESSAGE_BYTES);
  return {
    oomKilled: existsSync(files.oom) || hadOom(ctx.cgroups, cgroup),
    ...(message === undefined ? {} : { terminationMessage: message }),
  };
}

/** Whether the container's conmon is there to tell how it ends. Looked for by its arguments, once. */
export function monitorAlive({ monitors }: Context, files: ContainerFiles): boolean {
  const known = monitors.get(files.root);
  if (known !== undefined && isAlive(known)) return true;
  const pid = monitorPid(files);
  const found = pid !== undefined && argumentsOf(pid).includes(files.root) ? identify(pid) : undefined;
  if (found === undefined) monitors.delete(files.root);
  else monitors.set(files.root, found);
  return found !== undefined;
}

export function monitorPid(files: ContainerFiles): number | undefined {
  try {
    const pid = Number(readFileSync(files.conmonPid, "utf8"));
    return pid > 1 ? pid : undefined;
  } catch (error) {
    if (isAbsent(error)) return undefined;
    throw error;
  }
}

function damagedContainer(id: string): ObservedContainer {
  return {
    ...{
      id,
      name: "",
      attempt: 0,
      specHash: "",
      labels: {},
      imageDigest: "",
      imageName: "",
      logPath: "",
      createdAt: 0,
    },
    state: "unknown",
  };
}
