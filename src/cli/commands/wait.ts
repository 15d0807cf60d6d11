import { GOALS, type Goal, judge } from "../goal.ts";
import { type PodRef, parsePodRef } from "../parse/pod-name.ts";
import type { Call, CommandSpec } from "../spec.ts";
import { waitFor } from "../wait-for.ts";

const DEFAULT_TIMEOUT_MS = 30_000;

export const wait: CommandSpec = {
  summary: "Wait until pods are ready, have succeeded or are gone",
  description:
    "Waits for pods, also for ones that are yet to appear. Exits with 1 when the time is up, or as soon as a pod can\n" +
    "no longer get there.",
  arguments: [{ syntax: "<pods...>", description: "NAME, NAMESPACE/NAME or pod/NAME", complete: "pod" }],
  options: [
    { flags: "--for <state>", description: "ready (default), succeeded or deleted", complete: GOALS },
    { flags: "--timeout <duration>", description: "give up after this (default: 30s)" },
  ],
  outputs: [],
  examples: [
    { line: "gantry wait web --timeout 1m", does: "until it is Ready" },
    { line: "gantry wait backup --for succeeded --timeout 1h", does: "until a job is done" },
  ],
  run,
};

async function run({ args, flags, context }: Call): Promise<undefined> {
  const goal = flags.choice("for", GOALS) ?? "ready";
  const timeoutMs = flags.durationMs("timeout") ?? DEFAULT_TIMEOUT_MS;
  const refs = args.map((arg) => parsePodRef(arg, context.namespace));
  const client = await context.client();
  const done: Record<Goal, string> = { ready: "is ready", succeeded: "has succeeded", deleted: "is deleted" };
  const onMet = (ref: PodRef): void => context.out.line(`pod/${ref.name} ${done[goal]}`);
  await waitFor(client, context, {
    refs,
    aim: goal,
    verdict: (pod) => judge(pod, goal, context.now()),
    timeoutMs,
    onMet,
  });
  return undefined;
}
