import { existsSync } from "node:fs";
import { open } from "node:fs/promises";
import { constants } from "node:os";
import { hadOom } from "../cgroup/cgroup.ts";
import { endSignal } from "../namespace/proc.ts";
import type { Context } from "./context.ts";
import { cgroupOf, sandboxFiles } from "./dirs.ts";
import { killQemus } from "./qemu/process.ts";
import type { EndRecord, SandboxRecord } from "./records.ts";
import { isRunning } from "./sandbox.ts";

/** Of what guest and QEMU have printed: a panic comes with the state of the CPU and what was called. */
const TAIL_BYTES = 16 * 1024;
const MAX_REASON = 300;
const SIGKILL = 9;

/**
 * When and why a VM that should run has ended: written down by whoever sees it first, the same for all who ask later.
 * Undefined while it runs, or when it was stopped on purpose.
 */
export async function endOf(ctx: Context, sandbox: SandboxRecord): Promise<EndRecord | undefined> {
  if (isRunning(ctx, sandbox)) return undefined;
  const files = sandboxFiles(ctx.dirs, sandbox.config.id);
  const known = await ctx.records.end(files.end).catch(() => undefined);
  if (known !== undefined || sandbox.phase !== "ready" || sandbox.bootId !== ctx.bootId) return known;
  // Either nobody has taken note of how it ended, and the kernel tells; or its jailer has, and has written it down.
  const signal = sandbox.process === undefined ? undefined : endSignal(sandbox.process);
  const [console, said] = await Promise.all([tailOf(files.console), tailOf(files.log)]);
  const oom = hadOom(ctx.cgroups, cgroupOf(ctx.dirs, sandbox));
  const reason = reasonOfEnd({ console, qemu: said, oom, ...(signal === undefined ? {} : { signal }) });
  ctx.machines.drop(sandbox.config.id);
  return await write(ctx, sandbox.config.id, reason, oom);
}

/** Ends a VM that nothing else ends. @param reason for people, as in "the micro-VM ended: …" */
export async function endVm(ctx: Context, id: string, reason: string): Promise<void> {
  await write(ctx, id, reason.slice(0, MAX_REASON));
  await killQemus(sandboxFiles(ctx.dirs, id).root);
}

async function write(ctx: Context, id: string, reason: string, oom = false): Promise<EndRecord> {
  const files = sandboxFiles(ctx.dirs, id);
  const end = { at: ctx.clock.now(), reason, ...(oom ? { oom } : {}) };
  // It may be removed at this very moment.
  if (existsSync(files.root)) await ctx.records.save(files.end, end).catch(() => {});
  return end;
}

export interface LastWords {
  /** Of the guest's kernel. */
  readonly console: string;
  /** Of QEMU and its jailer. */
  readonly qemu: string;
  /** That QEMU ended by, as far as the kernel told. */
  readonly signal?: number;
  /** Something in the VM's cgroup was killed for want of memory. */
  readonly oom: boolean;
}

/** Why a VM has ended, from what guest and QEMU have said last, which is shown to people. Pure. */
export function reasonOfEnd({ console, qemu, signal, oom }: LastWords): string {
  const panic = /Kernel panic - not syncing: ([^\r\n]*)/.exec(console)?.[1];
  if (panic !== undefined) return `${causeOf(panic)} (kernel panic: ${printable(panic)})`;
  if (oom && (signal === SIGKILL || KILLED.test(qemu)))
    return "the kernel killed QEMU (SIGKILL), which needed more memory than the VM's cgroup has";
  if (signal !== undefined) return `QEMU ended: QEMU was killed by signal ${signal} (${nameOf(signal)})`;
  const said = qemu
    .split("\n")
    .map((line) => line.trim())
    .findLast((line) => line !== "");
  if (said !== undefined) return `QEMU ended: ${printable(said)}`;
  return "QEMU ended without a word: it was killed, or the guest switched itself off";
}

/** What the jailer writes. */
const KILLED = /^QEMU was killed by signal 9 /m;

function nameOf(signal: number): string {
  return Object.entries(constants.signals).find(([, number]) => number === signal)?.[0] ?? "of no name";
}

function causeOf(panic: string): string {
  if (/deadlocked on memory|out of memory/i.test(panic)) return "the guest has run out of memory";
  if (/attempted to kill init/i.test(panic)) return "the agent in the guest has died";
  return "the guest's kernel has crashed";
}

/** What a guest has written may hold anything, also what moves a terminal's cursor. */
function printable(text: string): string {
  return text
    .trim()
    .replaceAll(/[^ -~]/g, "?")
    .slice(0, MAX_REASON);
}

/** The last bytes of a file, which may be of any size; nothing for one that cannot be read. */
async function tailOf(path: string): Promise<string> {
  try {
    await using file = await open(path, "r");
    const { size } = await file.stat();
    const { buffer, bytesRead } = await file.read(
      Buffer.alloc(TAIL_BYTES),
      0,
      TAIL_BYTES,
      Math.max(0, size - TAIL_BYTES),
    );
    return buffer.toString("latin1", 0, bytesRead);
  } catch {
    return "";
  }
}
