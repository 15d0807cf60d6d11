import { execFileSync } from "node:child_process";
import { randomFillSync } from "node:crypto";
import { cpSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createImageStore } from "../../src/image/index.ts";
import { systemClock } from "../../src/system/clock.ts";
import { silentLogger } from "../../src/system/log.ts";
import { insecure, Registry, skopeo } from "../support/registry.ts";
import { type Bench, gone, ready } from "./context.ts";
import type { Figure } from "./figures.ts";
import { median, percentile } from "./stats.ts";

const MIB = 1024 * 1024;
const LAYERS = 4;
const FILES = 50;
/** In all layers together about 100 MiB compressed: half of each file is noise, half is zeros. */
const FILE_BYTES = MIB;
const MAX_RUNS = 7;
const SECOND_PODS = 50;

/** A 100 MiB image from a registry on loopback to a Ready pod, beside skopeo and umoci; and the root of a second pod. */
export async function benchPull(bench: Bench): Promise<Figure[]> {
  const { host, watch, say } = bench;
  const work = join(host.directory, "pull");
  mkdirSync(work);
  const layout = makeImage(work);
  await using registry = await Registry.start(join(work, "registry"));
  registry.push(layout, "v1", "bench:1");
  const image = `${registry.host}/bench:1`;
  writeFileSync(join(host.paths.etc, "registries.conf"), insecure(registry.host));
  const runs = Math.min(bench.runs, MAX_RUNS);
  const times: Record<"gantry" | "tools", number[]> = { gantry: [], tools: [] };
  // Interleaved, so that whatever else the machine does meets both alike; the first round only warms up.
  for (let round = 0; round <= runs; round++) {
    const name = `pull-${round}`;
    host.write(`${name}.yaml`, manifest(name, image));
    const begun = performance.now();
    const readyAt = await watch.when(name, ready, "Ready", 120_000);
    if (round < runs) {
      host.remove(`${name}.yaml`);
      await watch.when(name, gone, "gone");
      await host.gantry("image", "rm", image);
    }
    const tools = byHand(work, image);
    if (round === 0) continue;
    times.gantry.push(readyAt - begun);
    times.tools.push(tools);
    say(`pull ${round}/${runs}`);
  }
  const second = await secondPods(bench, image, work);
  host.remove(`pull-${runs}.yaml`);
  await watch.when(`pull-${runs}`, gone, "gone");
  const spread = (values: readonly number[]): string =>
    `median of ${values.length}, 10th to 90th percentile ${percentile(values, 0.1).toFixed(1)}–${percentile(values, 0.9).toFixed(1)}`;
  const [gantry, tools] = [median(times.gantry), median(times.tools)];
  return [
    {
      id: "pull.ready",
      what: "100 MiB image: file closed → pulled, Ready",
      value: gantry,
      unit: "ms",
      note: spread(times.gantry),
    },
    {
      id: "pull.tools",
      what: "skopeo copy + umoci unpack of the same",
      value: tools,
      unit: "ms",
      note: spread(times.tools),
    },
    {
      id: "pull.ratio",
      what: "Gantry ÷ skopeo and umoci",
      value: gantry / tools,
      unit: "×",
      limit: { at: "most", value: 1.5 },
    },
    {
      id: "pull.second",
      what: "root of a second pod of a held image",
      value: median(second),
      unit: "ms",
      limit: { at: "most", value: 5 },
      note: `found, and its overlay mounted; ${spread(second)}`,
    },
  ];
}

function makeImage(work: string): string {
  const layout = join(work, "layout");
  const tree = join(work, "tree");
  mkdirSync(join(tree, "bin"), { recursive: true });
  cpSync("/bin/busybox", join(tree, "bin/busybox"));
  symlinkSync("busybox", join(tree, "bin/sleep"));
  const umoci = (...args: readonly string[]): void => void execFileSync("umoci", args, { stdio: "ignore" });
  umoci("init", "--layout", layout);
  umoci("new", "--image", `${layout}:v1`);
  for (let layer = 0; layer < LAYERS; layer++) {
    const dir = `data-${layer}`;
    mkdirSync(join(tree, dir));
    for (let at = 0; at < FILES; at++) {
      const content = Buffer.alloc(FILE_BYTES);
      randomFillSync(content, 0, FILE_BYTES / 2);
      writeFileSync(join(tree, dir, `file-${at}`), content);
    }
    const tar = join(work, "layer.tar");
    execFileSync("tar", ["-C", tree, "-cf", tar, dir, ...(layer === 0 ? ["bin"] : [])]);
    umoci("raw", "add-layer", "--image", `${layout}:v1`, tar);
    rmSync(tar);
  }
  return layout;
}

/** @returns ms */
function byHand(work: string, image: string): number {
  const [layout, bundle] = [join(work, "copy"), join(work, "bundle")];
  const begun = performance.now();
  skopeo(["copy", "--quiet", "--src-tls-verify=false", `docker://${image}`, `oci:${layout}:v1`]);
  execFileSync("umoci", ["unpack", "--image", `${layout}:v1`, bundle], { stdio: "ignore" });
  const ms = performance.now() - begun;
  for (const dir of [layout, bundle]) rmSync(dir, { recursive: true });
  return ms;
}

/** What a pod of an image that is held and mounted pays for its root: finding it, and mounting an overlay of it. */
async function secondPods({ host }: Bench, image: string, work: string): Promise<number[]> {
  const store = createImageStore({ paths: host.paths, log: silentLogger(), clock: systemClock });
  const signal = new AbortController().signal;
  const dirs = ["upper", "work", "merged"].map((name) => join(work, name));
  for (const dir of dirs) mkdirSync(dir);
  const [upper, scratch, merged] = dirs;
  const times: number[] = [];
  for (let at = 0; at <= SECOND_PODS; at++) {
    const begun = performance.now();
    const held = await store.resolve(image);
    if (held === undefined) throw new Error(`${image} is not in the store`);
    const lower = await store.rootfs(held.digest, signal);
    const options = `lowerdir=${lower},upperdir=${upper},workdir=${scratch}`;
    execFileSync("mount", ["-i", "-t", "overlay", "-o", options, "overlay", merged ?? ""]);
    if (at > 0) times.push(performance.now() - begun);
    execFileSync("umount", [merged ?? ""]);
  }
  await store.close();
  return times;
}

function manifest(name: string, image: string): string {
  return `apiVersion: v1
kind: Pod
metadata:
  name: ${name}
spec:
  hostNetwork: true
  terminationGracePeriodSeconds: 0
  containers:
    - name: app
      image: ${image}
      command: [sleep, infinity]
`;
}
