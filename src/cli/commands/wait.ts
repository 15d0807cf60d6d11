import { GOALS, type Goal, judge } from "../goal.ts";
import { parseObjectRef } from "../objects.ts";
import { type PodRef, parsePodRef } from "../parse/pod-name.ts";
import type { Call, CommandSpec } from "../spec.ts";
import { waitFor } from "../wait-for.ts";
import { waitForObject } from "../wait-object.ts";

const DEFAULT_TIMEOUT_MS = 30_000;

export const wait: CommandSpec = {
  summary: "Wait until pods are ready, have succeeded or are gone",
  description:
    "Waits for pods, also for ones that are yet to appear. Exits with 1 when the time is up, or as soon as a pod can\n" +
    "no longer get there.",
  arguments: [
    {
      syntax: "<pods...>",
      description: "NAME, NAMESPACE/NAME, pod/NAME or deployment/NAME, job/NAME …",
      complete: "pod",
    },
  ],
  options: [
    { flags: "--for <state>", description: "ready (default), succeeded or deleted", complete: GOALS },
    { flags: "--timeout <duration>", description: "give up after this (default: 30s)" },
  ],
  outputs: [],
  examples: [
    { line: "gantry wait web --timeout 1m", does: "until it is Ready" },
    { line: "gantry wait job/backup --for succeeded --timeout 1h", does: "until a Job is done" },
  ],
  run,
};

async function run({ args, flags, context }: Call): Promise<undefined> {
  const goal = flags.choice("for", GOALS) ?? "ready";
  const timeoutMs = flags.durationMs("timeout") ?? DEFAULT_TIMEOUT_MS;
  const objects = args.flatMap((arg) => parseObjectRef(arg, context) ?? []);
  const refs = args.filter((arg) => parseObjectRef(arg, context) === undefined).map((arg) => parsePodRef(arg, context));
  const client = await context.client();
  const done: Record<Goal, string> = { ready: "is ready", succeeded: "has succeeded", deleted: "is deleted" };
  const onMet = (ref: PodRef): void => context.out.line(`pod/${ref.name} ${done[goal]}`);
  const others = objects.map(async (ref) => {
    await waitForObject(client, context, ref, goal, timeoutMs);
    context.out.line(`${ref.kind.kind.toLowerCase()}/${ref.name} ${done[goal]}`);
  });
  if (refs.length === 0) {
    await Promise.all(others);
    return undefined;
  }
  const pods = waitFor(client, context, {
    refs,
    aim: goal,
    verdict: (pod) => judge(pod, goal, context.now()),
    timeoutMs,
    onMet,
  });
  await Promise.all([pods, ...others]);
  return undefined;
}
