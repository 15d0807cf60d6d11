import type { PodObject } from "../../api/contract.ts";
import { stateOf, type Verdict } from "../goal.ts";
import { chooseContainer, findPod, keyOfPod, namespaceOf } from "../pods.ts";
import type { Call, CommandSpec } from "../spec.ts";
import { waitFor } from "../wait-for.ts";

const DEFAULT_TIMEOUT_MS = 300_000;

export const restart: CommandSpec = {
  summary: "Restart the containers of a pod",
  description:
    "Stops the containers of a pod in their grace and starts them again; the pod keeps its address.\n" +
    "Comes back once they have been started: 'gantry wait' then waits until they are ready.",
  arguments: [{ syntax: "<pods...>", description: "NAME, NAMESPACE/NAME or pod/NAME", complete: "pod" }],
  options: [
    { flags: "-c, --container <name>", description: "only this container", complete: "container" },
    { flags: "--no-wait", description: "don't wait until they are started again" },
    { flags: "--timeout <duration>", description: "wait at most this long (default: 5m)" },
  ],
  outputs: [],
  examples: [
    { line: "gantry restart web", does: "all its containers" },
    { line: "gantry restart web -c app", does: "one of them" },
  ],
  run,
};

async function run({ args, flags, context }: Call): Promise<undefined> {
  const timeoutMs = flags.durationMs("timeout") ?? DEFAULT_TIMEOUT_MS;
  const wanted = flags.text("container");
  const client = await context.client();
  // All of them are looked up first, so that a typing error in the last one restarts none.
  const pods = await Promise.all(args.map((arg) => findPod(client, context, arg)));
  const container = wanted === undefined ? {} : { container: wanted };
  for (const pod of pods) chooseContainer(pod, wanted);
  for (const pod of pods) await client.restartPod(namespaceOf(pod), pod.metadata.name, container);
  const what = wanted === undefined ? "" : ` container ${wanted}`;
  const said = (name: string, how: string): void => context.out.line(`pod/${name}${what} ${how}`);
  if (flags.off("wait")) {
    for (const pod of pods) said(pod.metadata.name, "restarting");
    return undefined;
  }
  const before = new Map(pods.map((pod) => [keyOfPod(pod), runsOf(pod, wanted)]));
  await waitFor(client, context, {
    refs: pods.map((pod) => ({ namespace: namespaceOf(pod), name: pod.metadata.name, namespaceGiven: true })),
    aim: "restarted",
    verdict: (pod, key) => verdict(pod, before.get(key), wanted, context.now()),
    timeoutMs,
    onMet: (ref) => said(ref.name, "restarted"),
  });
  return undefined;
}

/** The run that each container is in, by its id: a new one has another. Init containers only when they are meant. */
function runsOf({ status }: PodObject, wanted: string | undefined): Map<string, string> {
  const all = [...status.containerStatuses, ...(wanted === undefined ? [] : (status.initContainerStatuses ?? []))];
  const meant = all.filter(({ name }) => wanted === undefined || name === wanted);
  return new Map(meant.map(({ name, containerID }) => [name, containerID ?? ""]));
}

function verdict(
  pod: PodObject | undefined,
  before: ReadonlyMap<string, string> | undefined,
  wanted: string | undefined,
  now: number,
): Verdict {
  if (pod === undefined) return { type: "never", state: "is gone" };
  const started = [...runsOf(pod, wanted)].every(([name, run]) => run !== "" && run !== before?.get(name));
  return started ? { type: "met" } : { type: "not-yet", state: stateOf(pod, now) };
}
