import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { TestHost } from "../../e2e/harness/host.ts";
import { type Bench, FIRST_PORT, gone, ready } from "../context.ts";
import { standbys } from "../daemon-log.ts";
import type { Figure } from "../figures.ts";
import type { Podman } from "../podman.ts";
import { webPod } from "../pods.ts";
import { timePodman } from "../start.ts";
import { median, spread } from "../stats.ts";
import type { BareVm } from "./bare-vm.ts";
import { bootOf, webVm } from "./pods.ts";

export interface VmStartOptions {
  readonly bare: BareVm;
  readonly podman: Podman | undefined;
  /** The same with a daemon that keeps no template: every VM is booted. */
  readonly booting: Bench;
  /** The same with a daemon that keeps no VM on standby: every VM is cloned from the template. */
  readonly cloning: Bench;
}

/** One pod in a micro-VM from the closing of its file on, beside podman, our own namespace pod, and QEMU by hand. */
export async function benchVmStart(
  bench: Bench,
  { bare, podman, booting, cloning }: VmStartOptions,
): Promise<{ readonly figures: Figure[]; readonly cloneMs: number; readonly singleMs: number }> {
  const { host, runs, say } = bench;
  const times: Record<
    "pod" | "clone" | "agent" | "bareClone" | "namespace" | "podman" | "cold" | "bareBoot",
    number[]
  > = {
    pod: [],
    clone: [],
    agent: [],
    bareClone: [],
    namespace: [],
    podman: [],
    cold: [],
    bareBoot: [],
  };
  await bare.makeTemplate();
  // The first pod of its shape: a template is made for it, and then a VM is put on standby for the next.
  await timePod(bench, "vm-first", webVm("vm-first", FIRST_PORT));
  await nextStandby(host, 0);
  // Interleaved, so that whatever else the machine does meets all of them alike; the first round only warms up.
  for (let round = 0; round <= runs; round++) {
    const name = `vm-${round}`;
    const text = webVm(name, FIRST_PORT);
    const before = standbys(host);
    const pod = await timePod(bench, name, text, "standby");
    await nextStandby(host, before); // in nobody's way below
    const clone = await timePod(cloning, name, text, round === 0 ? undefined : "clone");
    const play = await timePodman(podman, join(host.directory, `${name}.yaml`), text);
    const namespace = await timePod(bench, `ns-${round}`, webPod(`ns-${round}`, FIRST_PORT));
    const bareClone = await bare.clone();
    // A boot takes its time, and varies little: half as often.
    const boots = round % 2 === 1;
    const cold = boots ? await timePod(booting, name, text, "cold") : undefined;
    const bareBoot = boots ? await bare.boot() : undefined;
    if (round === 0) continue;
    times.pod.push(pod.ms);
    times.clone.push(clone.ms);
    times.agent.push(clone.agentMs);
    times.namespace.push(namespace.ms);
    times.bareClone.push(bareClone);
    if (play !== undefined) times.podman.push(play);
    if (cold !== undefined) times.cold.push(cold.ms);
    if (bareBoot !== undefined) times.bareBoot.push(bareBoot);
    say(`microvm ${round}/${runs}`);
  }
  const singleMs = median(times.pod);
  const figures: Figure[] = [
    { id: "microvm.pod", what: "micro-VM pod, from standby: file closed → Ready", ...timed(times.pod) },
    { id: "microvm.namespace", what: "the same as a namespace pod", ...timed(times.namespace) },
    {
      id: "microvm.cloneRatio",
      what: "micro-VM pod ÷ namespace pod",
      value: singleMs / median(times.namespace),
      unit: "×",
      limit: { at: "most", value: 2.5 },
      note: `as by default: the VM is a clone that was started and rehearsed ahead; ${fastest(times.pod, times.namespace)}`,
    },
    {
      id: "microvm.clone",
      what: "the same with no VM on standby, cloned then",
      ...timed(times.clone),
    },
    { id: "microvm.agent", what: "clone: start of QEMU → agent answers", ...timed(times.agent) },
    { id: "microvm.bareClone", what: "the same by hand, with nothing around it", ...timed(times.bareClone) },
    {
      id: "microvm.agentRatio",
      what: "clone ÷ clone by hand",
      value: median(times.agent) / median(times.bareClone),
      unit: "×",
      limit: { at: "most", value: 1.5 },
      note: fastest(times.agent, times.bareClone),
    },
    { id: "microvm.cold", what: "micro-VM pod, booted: file closed → Ready", ...timed(times.cold) },
    { id: "microvm.bareBoot", what: "boot by hand, to the agent's answer", ...timed(times.bareBoot) },
    {
      id: "microvm.coldRatio",
      what: "booted pod ÷ boot by hand",
      value: median(times.cold) / median(times.bareBoot),
      unit: "×",
      limit: { at: "most", value: 1.25 },
      note: fastest(times.cold, times.bareBoot),
    },
  ];
  if (times.podman.length > 0) {
    figures.push(
      { id: "microvm.podman", what: "podman kube play of the micro-VM pod's file", ...timed(times.podman) },
      {
        id: "microvm.sooner",
        what: "podman ÷ micro-VM pod",
        value: median(times.podman) / singleMs,
        unit: "×",
        limit: { at: "least", value: 1 },
        note: `1.5 is aimed for; ${fastest(times.podman, times.pod)}`,
      },
    );
  }
  return { figures, singleMs, cloneMs: median(times.clone) };
}

/** Until another VM is on standby than the first `before`. @throws Error after a minute */
async function nextStandby(host: TestHost, before: number): Promise<void> {
  const deadline = performance.now() + 60_000;
  while (standbys(host) <= before) {
    if (performance.now() > deadline) throw new Error(`no VM on standby:\n${host.daemon?.log().slice(-2000)}`);
    await sleep(20);
  }
}

function timed(values: readonly number[]): Pick<Figure, "value" | "unit" | "note"> {
  return { value: median(values), unit: "ms", note: `${spread(values)}, fastest ${Math.round(Math.min(...values))}` };
}

function fastest(of: readonly number[], by: readonly number[]): string {
  return `of the fastest ${(Math.min(...of) / Math.min(...by)).toFixed(2)}`;
}

/** Its start, and then it goes. @param how its VM must have come up, if it has one */
async function timePod(
  { host, watch }: Bench,
  name: string,
  text: string,
  how?: "standby" | "clone" | "cold",
): Promise<{ readonly ms: number; readonly agentMs: number }> {
  const file = `${name}.yaml`;
  host.write(file, text);
  const closed = performance.now();
  const ms = (await watch.when(name, ready, "Ready")) - closed;
  const boot = how === undefined ? undefined : await bootOf(host, name);
  if (boot?.how !== how) throw new Error(`the VM of pod ${name} came up by "${boot?.how}", not by "${how}"`);
  host.remove(file);
  await watch.when(name, gone, "gone");
  return { ms, agentMs: boot?.ms ?? Number.NaN };
}
