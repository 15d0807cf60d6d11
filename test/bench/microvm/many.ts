import { readFileSync } from "node:fs";
import { basename } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { driverDirs, STANDBY } from "../../../src/sandbox/microvm/dirs.ts";
import { qemusBelow } from "../../../src/sandbox/microvm/qemu/process.ts";
import type { TestHost } from "../../e2e/harness/host.ts";
import { type Bench, FIRST_PORT, gone, ready } from "../context.ts";
import type { Figure } from "../figures.ts";
import { cpuSeconds } from "../proc.ts";
import { bootOf, webVm } from "./pods.ts";

const PODS = 20;
const IDLE_SECONDS = 20;

/** Twenty micro-VM pods at once: their start, beside that of one, cloned or from standby; and what they take when nothing happens. */
export async function benchManyVms(
  { host, watch, say }: Bench,
  { cloneMs, singleMs }: { readonly cloneMs: number; readonly singleMs: number },
): Promise<Figure[]> {
  const names = Array.from({ length: PODS }, (_, index) => `vms-${index}`);
  const deadlineMs = 10 * 60_000;
  const dropped = performance.now();
  for (const [index, name] of names.entries()) host.write(`${name}.yaml`, webVm(name, FIRST_PORT + index));
  await Promise.all(names.map((name) => watch.when(name, ready, "Ready", deadlineMs)));
  const allReady = performance.now() - dropped;
  for (const name of names) {
    const { how } = await bootOf(host, name);
    if (how === "cold") throw new Error(`the VM of pod ${name} was booted, not cloned`);
  }
  say(`${PODS} micro-VM pods are Ready`);
  await sleep(5_000); // what the start of the pods set off has ended by then
  const [pids, waiting] = processes(host);
  const before = pids.map(cpuSeconds);
  await sleep(IDLE_SECONDS * 1000);
  const used = pids.map((pid, index) => cpuSeconds(pid) - (before[index] ?? 0));
  const share = (used.reduce((sum, seconds) => sum + seconds, 0) / IDLE_SECONDS / PODS) * 100;
  const memory = pids.reduce((sum, pid) => sum + proportionalMiB(pid), 0) / PODS;
  for (const name of names) host.remove(`${name}.yaml`);
  await Promise.all(names.map((name) => watch.when(name, gone, "gone", deadlineMs)));
  return [
    { id: "microvm.many", what: `${PODS} micro-VM pods dropped at once → all Ready`, value: allReady, unit: "ms" },
    {
      id: "microvm.manyRatio",
      what: `… ÷ ${PODS} × one cloned pod's start`,
      value: allReady / (PODS * cloneMs),
      unit: "×",
      limit: { at: "most", value: 2 },
      note: `one of them comes from standby, the others are clones; of ${PODS} × one from standby ${(allReady / (PODS * singleMs)).toFixed(2)}`,
    },
    {
      id: "microvm.memory",
      what: "idle micro-VM pod of 128 MiB: memory",
      value: memory,
      unit: "MiB",
      limit: { at: "most", value: 50 },
      note: `PSS of QEMU and its jailer, mean of ${PODS}; what clones share of their template is counted once`,
    },
    {
      id: "microvm.standby",
      what: "a micro-VM on standby: memory",
      value: waiting.reduce((sum, pid) => sum + proportionalMiB(pid), 0),
      unit: "MiB",
      note: `${waiting.length / 2} of them; one is kept by default (microvm.standby.keep)`,
    },
    {
      id: "microvm.idle",
      what: "idle micro-VM pod: CPU",
      value: share,
      unit: "%",
      limit: { at: "most", value: 2 },
      note: `of a core, mean of ${PODS} over ${IDLE_SECONDS} s`,
    },
  ];
}

/** QEMUs, jailers and helpers of all pods, and those of VMs on standby. */
function processes({ paths }: TestHost): [number[], number[]] {
  const all = Object.groupBy(qemusBelow(driverDirs(paths).sandboxes), ({ directory }) =>
    basename(directory).startsWith(STANDBY) ? "waiting" : "pods",
  );
  const [pids, waiting] = [all.pods ?? [], all.waiting ?? []].map((found) => found.map(({ pid }) => pid));
  if (pids === undefined || pids.length < 2 * PODS)
    throw new Error(`${PODS} micro-VM pods have only ${pids?.length} processes`);
  return [pids, waiting ?? []];
}

/** proc_pid_smaps(5): the pages of a process, those that it shares divided by how many share them. */
function proportionalMiB(pid: number): number {
  return Number(/^Pss:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, "utf8"))?.[1]) / 1024;
}
