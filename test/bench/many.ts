import { type Bench, FIRST_PORT, gone, ready } from "./context.ts";
import type { Figure } from "./figures.ts";
import { webPod } from "./pods.ts";
import { median } from "./stats.ts";

const PODS = 100;

/** A hundred pods at once: their start, `gantry status` with all of them, and their end. `singleMs`: one pod's start. */
export async function benchMany({ host, watch, runs, say }: Bench, singleMs: number): Promise<Figure[]> {
  const names = Array.from({ length: PODS }, (_, index) => `many-${index}`);
  const deadlineMs = 10 * 60_000;
  const dropped = performance.now();
  for (const [index, name] of names.entries()) host.write(`${name}.yaml`, webPod(name, FIRST_PORT + index));
  await Promise.all(names.map((name) => watch.when(name, ready, "Ready", deadlineMs)));
  const allReady = performance.now() - dropped;
  say(`${PODS} pods are Ready`);

  const status: number[] = [];
  for (let round = 0; round <= runs; round++) {
    const begun = performance.now();
    const { code } = await host.gantry("status");
    if (code !== 0) throw new Error(`gantry status exited with ${code}`);
    if (round > 0) status.push(performance.now() - begun); // the first one compiles the code
  }

  const removed = performance.now();
  for (const name of names) host.remove(`${name}.yaml`);
  await Promise.all(names.map((name) => watch.when(name, gone, "gone", deadlineMs)));
  const allGone = performance.now() - removed;
  return [
    { id: "many.ready", what: `${PODS} pods dropped at once → all Ready`, value: allReady, unit: "ms" },
    {
      id: "many.readyRatio",
      what: `… ÷ ${PODS} × one pod's start`,
      value: allReady / (PODS * singleMs),
      unit: "×",
      limit: { at: "most", value: 1 },
    },
    { id: "many.gone", what: `${PODS} pods removed at once → all gone`, value: allGone, unit: "ms" },
    {
      id: "many.goneRatio",
      what: `… ÷ ${PODS} × one pod's start`,
      value: allGone / (PODS * singleMs),
      unit: "×",
      limit: { at: "most", value: 1 },
    },
    {
      id: "status",
      what: `gantry status with ${PODS} pods, exec to exit`,
      value: median(status),
      unit: "ms",
      limit: { at: "most", value: 150 },
      note: `median of ${status.length}, fastest ${Math.round(Math.min(...status))}; of the built package`,
    },
  ];
}
