import { once } from "node:events";
import type { ApiClient } from "../api/client.ts";
import type { PodObject, ProblemReport } from "../api/contract.ts";
import { GantryError } from "../system/errors.ts";
import type { Context } from "./context.ts";
import type { Verdict } from "./goal.ts";
import { placeOf } from "./output/problems.ts";
import { withProgress } from "./output/progress.ts";
import { oneLine } from "./output/text.ts";
import type { PodRef } from "./parse/pod-name.ts";
import { keyOfPod } from "./pods.ts";
import { followWatch } from "./watch.ts";

export interface WaitRequest {
  readonly refs: readonly PodRef[];
  /** What is waited for, to finish "waiting for default/web to be …". */
  readonly aim: string;
  /** Whether a pod (undefined: it is not there) has got there. */
  readonly verdict: (pod: PodObject | undefined, key: string) => Verdict;
  readonly timeoutMs: number;
  /** Called for each pod as it gets there. */
  readonly onMet?: (ref: PodRef) => void;
}

/** A timer of Node.js can't be set further than this. ms */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

interface Pending {
  readonly ref: PodRef;
  /** "is Pending (0/1 ready)", "does not exist". */
  state: string;
}

/**
 * Resolves once every pod has reached the goal.
 *
 * @throws GantryError `timeout`, saying what state the pods are in; `conflict` for one that can never get there
 */
export async function waitFor(client: ApiClient, context: Context, request: WaitRequest): Promise<void> {
  const { refs, aim, verdict, timeoutMs, onMet } = request;
  const pending = new Map<string, Pending>(
    refs.map((ref) => [`${ref.namespace}/${ref.name}`, { ref, state: "does not exist" }]),
  );
  const look = (key: string, pod: PodObject | undefined): void => {
    const waiting = pending.get(key);
    if (waiting === undefined) return;
    const found = verdict(pod, key);
    switch (found.type) {
      case "never":
        throw new GantryError("conflict", `pod ${key} can't become ${aim}: it ${oneLine(found.state)}`, {
          hint: `See 'gantry describe ${key}' and 'gantry logs ${key}'.`,
        });
      case "not-yet":
        waiting.state = found.state;
        return;
      case "met":
        pending.delete(key);
        onMet?.(waiting.ref);
    }
  };
  const timer = AbortSignal.timeout(Math.min(timeoutMs, LONGEST_TIMER_MS));
  const signal = AbortSignal.any([timer, context.signal]);
  const follow = async (): Promise<void> => {
    const list = await client.listPods();
    const there = new Map(list.items.map((pod) => [keyOfPod(pod), pod]));
    for (const key of [...pending.keys()]) look(key, there.get(key));
    if (pending.size === 0) return;
    const { resourceVersion } = list.metadata;
    for await (const { type, object } of followWatch(
      (options) => client.watchPods(options),
      { resourceVersion },
      signal,
    )) {
      look(keyOfPod(object), type === "DELETED" ? undefined : object);
      if (pending.size === 0) return;
    }
  };
  const following = follow();
  // A daemon that does not even answer must not keep anybody waiting for longer than was asked.
  const late = once(signal, "abort").then(() =>
    Promise.reject(new GantryError("cancelled", "no more time", { kind: "system" })),
  );
  late.catch(() => {});
  following.catch(() => {});
  try {
    await withProgress(
      () => `waiting for ${[...pending.keys()].join(", ")} to be ${aim}`,
      Promise.race([following, late]),
    );
  } catch (error) {
    if (!timer.aborted || context.signal.aborted || pending.size === 0) throw error;
    throw await timedOut(client, pending, request);
  }
}

async function timedOut(
  client: ApiClient,
  pending: ReadonlyMap<string, Pending>,
  { aim, timeoutMs }: WaitRequest,
): Promise<GantryError> {
  const { problems } = await withinASecond(client.problems());
  const states = [...pending].map(([key, { state }]) => {
    // A pod that does not appear may be one whose manifest is broken.
    const broken = problems.find(({ severity, object }) => severity === "error" && object === `Pod ${key}`);
    return `pod ${key} ${oneLine(state)}${broken === undefined ? "" : ` (${placeOf(broken)}: ${oneLine(broken.message)})`}`;
  });
  const [first = ""] = pending.keys();
  return new GantryError("timeout", `not ${aim} after ${timeoutMs / 1000}s: ${states.join("; ")}`, {
    hint: `See 'gantry describe ${first}', or wait longer with --timeout.`,
    details: { pods: Object.fromEntries([...pending].map(([key, { state }]) => [key, state])) },
  });
}

/** An explanation is worth a moment, not more. */
function withinASecond(asked: Promise<ProblemReport>): Promise<ProblemReport> {
  const nothing: ProblemReport = { problems: [], held: [] };
  const late = new Promise<ProblemReport>((resolve) => setTimeout(() => resolve(nothing), 1000).unref());
  return Promise.race([asked.catch(() => nothing), late]);
}
