import { readdirSync, readFileSync } from "node:fs";
import { SAMPLE_IMAGE } from "../../../src/image/sample.ts";
import { eventually } from "./eventually.ts";

type Json = Readonly<Record<string, unknown>>;

/** Runs until it is stopped, and ends at once then. */
export const FOREVER: readonly string[] = ["sh", "-c", "trap exit TERM; sleep infinity & wait"];

/** The text of a pod with one container "app"; one that only waits unless `container` says otherwise. */
export function podText(name: string, container: Json = {}, spec: Json = {}): string {
  return podOf(name, [{ name: "app", ...container }], spec);
}

/** The text of a pod with several containers; each gets the sample image and waits unless it says otherwise. */
export function podOf(name: string, containers: readonly Json[], spec: Json = {}): string {
  const whole = containers.map((container) => ({
    image: SAMPLE_IMAGE,
    command: FOREVER,
    // By which processes of the pod are told from all others on the machine.
    ...container,
    env: [{ name: "E2E_POD", value: name }, ...(Array.isArray(container["env"]) ? container["env"] : [])],
  }));
  return objectText("Pod", name, { spec: { terminationGracePeriodSeconds: 2, ...spec, containers: whole } });
}

/** The text of any v1 object. */
export function objectText(kind: string, name: string, rest: Json): string {
  return `${JSON.stringify({ apiVersion: "v1", kind, metadata: { name }, ...rest }, undefined, 2)}\n`;
}

/** The pids on the host of the first processes of the containers of pod `name` below `root`, oldest first. */
export function pidsOf(root: string, name: string): number[] {
  return readdirSync("/proc")
    .filter((entry) => /^\d+$/.test(entry))
    .map(Number)
    .filter((pid) => belongs(pid, root, name))
    .sort((a, b) => a - b);
}

/** The same, once there are any: Ready is what its container was started for; the program in it may follow a moment later. */
export function appearedPids(root: string, name: string): Promise<number[]> {
  return eventually(
    () => {
      const pids = pidsOf(root, name);
      return pids.length > 0 && pids;
    },
    { what: `the processes of ${name}` },
  );
}

function belongs(pid: number, root: string, name: string): boolean {
  try {
    // In its own pid namespace, the first process of a container is 1.
    if (!/^NSpid:.*\t1$/m.test(readFileSync(`/proc/${pid}/status`, "utf8"))) return false;
    const environment = readFileSync(`/proc/${pid}/environ`, "utf8").split("\0");
    // The root of a container is mounted from below the root of its daemon.
    return environment.includes(`E2E_POD=${name}`) && readFileSync(`/proc/${pid}/mountinfo`, "utf8").includes(root);
  } catch {
    return false; // it has ended meanwhile
  }
}
