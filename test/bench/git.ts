import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { WorkTree } from "../source/git/lab.ts";
import { type Bench, FIRST_PORT, gone, ready } from "./context.ts";
import { sourceTimes } from "./daemon-log.ts";
import type { Figure } from "./figures.ts";
import { sleepingPod, webPod } from "./pods.ts";
import { median } from "./stats.ts";
import type { PodAt } from "./watch.ts";

const MANIFESTS = 2000;
/** Of these, the rest are ConfigMaps. */
const PODS = 5;

/** A commit to its pod, without the time of git itself; and a change of one manifest among many. */
export async function benchGit({ host, watch, runs, say }: Bench): Promise<Figure[]> {
  const few = new WorkTree(join(host.directory, "few"));
  few.write("settings.yaml", configMap("few", "0")).commit();
  await gantry("sync", "add", few.path, "--name", "few", "--interval", "1d");
  const starts: number[] = [];
  const bare: number[] = [];
  for (let run = 0; run < runs; run++) {
    const name = `git-${run}`;
    few.write(`${name}.yaml`, webPod(name, FIRST_PORT)).commit();
    const begun = performance.now();
    const call = host.api("POST", "/apis/gantry.dev/v1/sources/few/now");
    const at = await watch.when(name, ready, "Ready");
    await call;
    const fetchMs = sourceTimes(host, "fetched", "few").at(-1) ?? Number.NaN;
    starts.push(at - begun - fetchMs);
    bare.push(bareFetch(host.directory, few.path, run));
    few.remove(`${name}.yaml`).commit();
    await host.api("POST", "/apis/gantry.dev/v1/sources/few/now");
    await watch.when(name, gone, "gone");
  }
  await gantry("sync", "remove", "few");

  const many = new WorkTree(join(host.directory, "many"));
  for (let index = 0; index < MANIFESTS; index++)
    many.write(`${index % 50}/c${index}.yaml`, index < PODS ? sleepingPod(`m${index}`) : configMap(`c${index}`, "0"));
  many.commit();
  await gantry("sync", "add", many.path, "--name", "many", "--interval", "1d");
  await Promise.all(Array.from({ length: PODS }, (_, index) => watch.when(`m${index}`, ready, "Ready")));
  say(`${MANIFESTS} manifests are in force`);
  const before = containers();
  let last = containerOf(watch.get("m0"));
  for (let run = 0; run < runs; run++) {
    many.write("0/c0.yaml", sleepingPod("m0").replace("infinity", `"${100_000 + run}"`)).commit();
    await host.api("POST", "/apis/gantry.dev/v1/sources/many/now");
    const replaced = (pod: PodAt): boolean => ready(pod) && containerOf(pod) !== last;
    await watch.when("m0", replaced, "Ready with the change");
    last = containerOf(watch.get("m0"));
  }
  if (containers().slice(1).join() !== before.slice(1).join())
    throw new Error("one manifest was changed, and pods of others were touched");
  const compared = sourceTimes(host, "came into force", "many").slice(-runs);
  await gantry("sync", "remove", "many");
  return [
    {
      id: "git.ready",
      what: "commit in a repository → pod Ready, without the fetch",
      value: median(starts),
      unit: "ms",
      limit: { at: "most", value: 400 },
      note: `median of ${starts.length}, fastest ${Math.round(Math.min(...starts))}`,
    },
    { id: "git.fetch", what: "… the bare 'git fetch' of that commit", value: median(bare), unit: "ms" },
    {
      id: "git.compare",
      what: `${MANIFESTS} manifests in a repository, one pod changed → in force, no other touched, without the fetch`,
      value: median(compared),
      unit: "ms",
      limit: { at: "most", value: 300 },
      note: `median of ${compared.length}`,
    },
  ];

  function containers(): string[] {
    return Array.from({ length: PODS }, (_, index) => containerOf(watch.get(`m${index}`)));
  }

  async function gantry(...args: readonly string[]): Promise<void> {
    const { code, stderr } = await host.gantry(...args);
    if (code !== 0) throw new Error(`gantry ${args.join(" ")} exited with ${code}: ${stderr}`);
  }
}

function containerOf(pod: PodAt): string {
  return pod?.status.containerStatuses?.[0]?.containerID ?? "";
}

function configMap(name: string, word: string): string {
  return `apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: ${name}\ndata:\n  word: "${word}"\n`;
}

/** ms */
function bareFetch(directory: string, url: string, run: number): number {
  const copy = join(directory, "bare.git");
  if (run === 0) execFileSync("git", ["init", "--quiet", "--bare", copy]);
  const begun = performance.now();
  execFileSync("git", ["--git-dir", copy, "fetch", "--quiet", "--depth=1", "--no-tags", url, "+HEAD:refs/heads/main"]);
  return performance.now() - begun;
}
