import { existsSync } from "node:fs";
import type { Clock } from "../../system/clock.ts";
import type { ObservedContainer, ObservedSandbox } from "../driver.ts";
import { namesIn } from "../namespace/files.ts";
import type { Context } from "./context.ts";
import { endOf } from "./death.ts";
import { cgroupOf, containerFiles, sandboxFiles } from "./dirs.ts";
import { exitOf } from "./machines.ts";
import type { GuestContainer } from "./protocol/index.ts";
import type { ContainerRecord, EndRecord, ExitRecord, SandboxRecord } from "./records.ts";
import { isReady, isRunning } from "./sandbox.ts";
import type { SlotUse } from "./slots.ts";

/** How long `list` may wait for an agent that we have no connection to. */
const CONNECT_TIMEOUT_MS = 2000;

/**
 * Every wanted sandbox that has a directory. Reads files and what agents have told; asks them only after a new
 * connection.
 */
export async function listSandboxes(ctx: Context, wanted: (id: string) => boolean): Promise<ObservedSandbox[]> {
  const ids = (await namesIn(ctx.dirs.sandboxes)).filter((name) => !name.startsWith(".") && wanted(name));
  const found = await Promise.all(ids.map((id) => observeSandbox(ctx, id)));
  return found.filter((sandbox) => sandbox !== undefined);
}

/** Undefined when there is none. One whose record is damaged is not-ready and belongs to nobody. */
export async function observeSandbox(ctx: Context, id: string): Promise<ObservedSandbox | undefined> {
  const files = sandboxFiles(ctx.dirs, id);
  if (!existsSync(files.root)) return undefined;
  const record = await ctx.records.sandbox(files.record).catch(() => undefined);
  if (!record) return existsSync(files.root) ? damagedSandbox(id) : undefined;
  const { config, boot, shape } = record;
  const containers = await containersOf(ctx, record);
  const end = await endOf(ctx, record);
  const ready = isReady(ctx, record, files);
  return {
    id,
    runtimeClass: "microvm",
    pod: config.pod,
    attempt: config.attempt,
    state: ready ? "ready" : "not-ready",
    ...problemOf(end, ready && ctx.machines.silent(id)),
    createdAt: record.createdAt,
    ips: ready ? record.ips : [],
    labels: config.labels,
    containers,
    detail: {
      phase: record.phase,
      netns: files.net,
      memory: `${shape.memoryMiB} MiB`,
      vcpus: String(shape.vcpus),
      ...(boot === undefined
        ? {}
        : {
            accelerator: boot.accelerator,
            why: boot.why,
            machine: boot.machine,
            boot: `${boot.how}, ${boot.ms} ms`,
            kernel: boot.kernel,
          }),
      ...(record.process === undefined ? {} : { qemuPid: String(record.process.pid) }),
      ...(record.uid === undefined ? {} : { uid: String(record.uid) }),
      cgroup: cgroupOf(ctx.dirs, record),
    },
  };
}

function problemOf(end: EndRecord | undefined, silent: boolean): Pick<ObservedSandbox, "problem"> {
  if (end !== undefined) return { problem: endedBecause(end) };
  return silent ? { problem: "the agent in the micro-VM does not answer; the VM is ended if that goes on" } : {};
}

/** Pure. */
function endedBecause({ reason }: EndRecord): string {
  return `the micro-VM ended: ${reason}`;
}

/** The containers of a sandbox. Those that nobody can tell about any more are exited when their VM is. */
export async function containersOf(ctx: Context, sandbox: SandboxRecord): Promise<ObservedContainer[]> {
  const { id } = sandbox.config;
  const ids = (await namesIn(sandboxFiles(ctx.dirs, id).containers)).filter((name) => !name.startsWith("."));
  if (ids.length === 0) return [];
  const running = isRunning(ctx, sandbox);
  const known = running ? await knownContainers(ctx, id) : undefined;
  const end = await endOf(ctx, sandbox);
  const found = await Promise.all(
    ids.map((each) => observe(ctx, sandbox, each, { running, end, guest: known?.get(each) })),
  );
  return found.filter((container) => container !== undefined);
}

export async function observeContainer(
  ctx: Context,
  sandbox: SandboxRecord,
  id: string,
): Promise<ObservedContainer | undefined> {
  return (await containersOf(ctx, sandbox)).find((container) => container.id === id);
}

/** What of the VM's hardware is in use. */
export async function slotUses(ctx: Context, sandbox: SandboxRecord): Promise<SlotUse[]> {
  const uses: SlotUse[] = [];
  for (const { id, state } of await containersOf(ctx, sandbox)) {
    const record = await ctx.records
      .container(containerFiles(ctx.dirs, sandbox.config.id, id).record)
      .catch(() => undefined);
    if (!record) continue;
    const { imageDigest, disk, logPort } = record;
    uses.push({ id, imageDigest, disk, logPort, ended: state === "exited" });
  }
  return uses;
}

async function knownContainers(ctx: Context, id: string): Promise<ReadonlyMap<string, GuestContainer> | undefined> {
  const { guest } = ctx.machines.get(id);
  // One that is known to be silent is not waited for: others want to be looked at, too.
  if (guest.known === undefined && !ctx.machines.silent(id))
    await guest.link(AbortSignal.timeout(CONNECT_TIMEOUT_MS)).catch(() => undefined);
  return guest.known;
}

async function observe(
  ctx: Context,
  sandbox: SandboxRecord,
  id: string,
  evidence: Pick<Evidence, "running" | "end" | "guest">,
): Promise<ObservedContainer | undefined> {
  const files = containerFiles(ctx.dirs, sandbox.config.id, id);
  const record = await ctx.records.container(files.record).catch(() => undefined);
  if (!record) return existsSync(files.root) ? damagedContainer(id) : undefined;
  const exit = await ctx.records.exit(files.exit).catch(() => undefined);
  return {
    ...factsOf(record),
    ...stateOf(record, ctx.clock, { ...evidence, exit, sameBoot: sandbox.bootId === ctx.bootId }),
  };
}

interface Evidence {
  readonly exit: ExitRecord | undefined;
  readonly guest: GuestContainer | undefined;
  /** QEMU is alive. */
  readonly running: boolean;
  /** How it ended, when nobody stopped it. */
  readonly end: EndRecord | undefined;
  readonly sameBoot: boolean;
}

type State = Pick<
  ObservedContainer,
  "state" | "startedAt" | "finishedAt" | "exitCode" | "oomKilled" | "terminationMessage" | "pid"
>;

/** Pure. What was written down wins over what the guest says, and that over what can be inferred. */
export function stateOf(
  record: ContainerRecord,
  clock: Clock,
  { exit, guest, running, end, sameBoot }: Evidence,
): State {
  const told = guest?.["started-ns"];
  const startedAt = record.startedAt ?? (told === undefined ? undefined : clock.ofHost(told));
  const started = startedAt === undefined ? {} : { startedAt: Math.max(startedAt, record.createdAt) };
  const ended = exit ?? (guest?.state === "exited" ? exitOf(guest, clock) : undefined) ?? endedWith(record, end);
  if (ended !== undefined) {
    return { ...started, ...ended, finishedAt: Math.max(ended.finishedAt, started.startedAt ?? 0), state: "exited" };
  }
  if (record.phase === "creating" || !sameBoot) return { ...started, state: "unknown" };
  const pid = guest?.pid === undefined ? {} : { pid: guest.pid };
  if (guest?.state === "running") return { ...started, ...pid, state: "running" };
  if (guest?.state === "created") return { ...pid, state: "created" };
  // The VM is gone and has taken the exit code along; or its agent is silent, and we say what was last known.
  if (!running) return { ...started, state: "unknown" };
  return record.phase === "started" ? { ...started, state: "running" } : { state: "created" };
}

/** What ran in a VM that ended is as dead as if it had been killed. */
function endedWith(record: ContainerRecord, end: EndRecord | undefined): ExitRecord | undefined {
  if (end === undefined || record.phase === "creating") return undefined;
  return { exitCode: 137, finishedAt: end.at, oomKilled: end.oom === true, terminationMessage: endedBecause(end) };
}

function factsOf(record: ContainerRecord): Omit<ObservedContainer, "state"> {
  const { id, name, attempt, specHash, labels, imageDigest, imageName, logPath, createdAt } = record;
  return { id, name, attempt, specHash, labels, imageDigest, imageName, logPath, createdAt };
}

function damagedSandbox(id: string): ObservedSandbox {
  return {
    id,
    runtimeClass: "microvm",
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

function damagedContainer(id: string): ObservedContainer {
  const nothing = { name: "", attempt: 0, specHash: "", labels: {}, imageDigest: "", imageName: "", logPath: "" };
  return { id, ...nothing, createdAt: 0, state: "unknown" };
}
