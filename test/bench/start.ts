import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { eventually } from "../e2e/harness/eventually.ts";
import type { BarePod } from "./bare.ts";
import { type Bench, FIRST_PORT, gone, ready } from "./context.ts";
import { firstReconciles } from "./daemon-log.ts";
import type { Figure } from "./figures.ts";
import type { Podman } from "./podman.ts";
import { appPid, webPod } from "./pods.ts";
import { median, spread } from "./stats.ts";
import type { PodAt } from "./watch.ts";

/** One pod from the closing of its file on, and its app's restart, each beside the bare tools and podman. */
export async function benchStart(bench: Bench, bare: BarePod, podman: Podman | undefined): Promise<Figure[]> {
  const { host, watch, runs, say } = bench;
  const times: Record<"gantry" | "restart" | "bare" | "run" | "podman", number[]> = {
    gantry: [],
    restart: [],
    bare: [],
    run: [],
    podman: [],
  };
  const closedAt = new Map<string, number>();
  // Interleaved, so that whatever else the machine does meets all of them alike; the first round only warms up.
  for (let round = 0; round <= runs; round++) {
    const name = `start-${round}`;
    const file = `${name}.yaml`;
    host.write(file, webPod(name, FIRST_PORT));
    const closed = performance.now();
    const readyAt = await watch.when(name, ready, "Ready");
    const restart = await timeRestart(bench, name);
    host.remove(file);
    await watch.when(name, gone, "gone");

    const id = `gbench${round}`;
    const up = await bare.up(id);
    const run = await bare.restart(id);
    await bare.down(id);
    const play = await timePodman(podman, join(host.directory, file), webPod(name, FIRST_PORT));
    if (round === 0) continue;
    times.gantry.push(readyAt - closed);
    closedAt.set(`default/${name}`, performance.timeOrigin + closed);
    times.restart.push(restart);
    times.bare.push(up);
    times.run.push(run);
    if (play !== undefined) times.podman.push(play);
    say(`start ${round}/${runs}`);
  }
  const begins = firstReconciles(host);
  const begun = [...closedAt].map(([key, closed]) => (begins.get(key) ?? Number.NaN) - closed);
  const gantry = median(times.gantry);
  const figures: Figure[] = [
    { id: "start.ready", what: "file closed → pod Ready", value: gantry, unit: "ms", note: spread(times.gantry) },
    {
      id: "start.bare",
      what: "the same by shell script",
      value: median(times.bare),
      unit: "ms",
      note: spread(times.bare),
    },
    {
      id: "start.ratio",
      what: "Gantry ÷ shell script",
      value: gantry / median(times.bare),
      unit: "×",
      limit: { at: "most", value: 3 },
    },
    {
      id: "start.reconcile",
      what: "file closed → reconcile begins",
      value: median(begun),
      unit: "ms",
      limit: { at: "most", value: 15 },
      note: spread(begun),
    },
    {
      id: "restart.gantry",
      what: "app killed → started again",
      value: median(times.restart),
      unit: "ms",
      note: spread(times.restart),
    },
    { id: "restart.bare", what: "bare crun run", value: median(times.run), unit: "ms", note: spread(times.run) },
    {
      id: "restart.above",
      what: "restart above bare crun run",
      value: median(times.restart) - median(times.run),
      unit: "ms",
      limit: { at: "most", value: 60 },
    },
  ];
  if (times.podman.length > 0) {
    figures.push(
      {
        id: "start.podman",
        what: "podman kube play",
        value: median(times.podman),
        unit: "ms",
        note: spread(times.podman),
      },
      {
        id: "start.sooner",
        what: "podman ÷ Gantry",
        value: median(times.podman) / gantry,
        unit: "×",
        limit: { at: "least", value: 2 },
      },
    );
  }
  return figures;
}

/** Kills the app from outside. @returns ms until the daemon serves it as running again */
async function timeRestart({ watch }: Bench, name: string): Promise<number> {
  const pid = await eventually(() => appPid(name), { what: `the httpd of pod ${name}` });
  const killed = performance.now();
  process.kill(pid, "SIGKILL");
  const again = (pod: PodAt): boolean =>
    pod?.status.containerStatuses.some(
      ({ restartCount, state }) => restartCount === 1 && state.running !== undefined,
    ) === true;
  return (await watch.when(name, again, "running again")) - killed;
}

/** @returns undefined where there is no podman */
export async function timePodman(
  podman: Podman | undefined,
  file: string,
  manifest: string,
): Promise<number | undefined> {
  if (podman === undefined) return undefined;
  writeFileSync(file, manifest);
  try {
    return await podman.up(file);
  } finally {
    await podman.down(file);
    rmSync(file);
  }
}
