/** The pods of a Git source, and how they are. */
import type { Desired } from "../desired.ts";
import type { DesiredPod, PodChange, PodState, PodSupervisor } from "../pod/contract.ts";
import { phaseOf } from "../pod/rules/phase.ts";
import { readySince } from "../reconcile/versions.ts";
import { type GitSources, gitPlace, type PodFact, placePrefix, type SeenPod } from "../source/git/index.ts";
import { versionId } from "../versions.ts";

/** Reasons that a container waits for without anything being wrong. */
const ON_ITS_WAY: ReadonlySet<string> = new Set(["ContainerCreating", "PodInitializing"]);

/** @param noteOf what a pod was rolled back from by itself, as a sentence */
export function podsOfSource(
  source: string,
  desired: Desired,
  states: readonly PodState[],
  noteOf: (key: string) => string | undefined,
): PodFact[] {
  const prefix = placePrefix(source);
  const byKey = new Map(
    states.flatMap((state) => (state.deletionDeadline === undefined ? [[state.desired.key, state] as const] : [])),
  );
  return [...desired.pods.values()]
    .filter(({ origin }) => origin.startsWith(prefix))
    .map((wanted) => factOf(wanted, byKey.get(wanted.key), noteOf(wanted.key)));
}

function factOf(wanted: DesiredPod, state: PodState | undefined, note: string | undefined): PodFact {
  const base = { key: wanted.key, origin: wanted.origin, version: versionId(wanted), final: note !== undefined };
  if (state === undefined) {
    const none = { createdAt: undefined, readySince: undefined };
    return { ...base, ...none, synced: false, health: "Progressing", message: note };
  }
  const since = readySince(state);
  const synced = state.desired === wanted || versionId(state.desired) === base.version;
  const trouble = troubleOf(state);
  const health =
    since !== undefined && note === undefined
      ? "Healthy"
      : (note ?? trouble) === undefined
        ? "Progressing"
        : "Degraded";
  return { ...base, createdAt: state.createdAt, synced, health, readySince: since, message: note ?? trouble };
}

/** What keeps it from becoming ready, if that is more than time. */
function troubleOf(state: PodState): string | undefined {
  if (state.failure !== undefined) return `${state.failure.reason}: ${state.failure.message}`;
  if (phaseOf(state) === "Failed") return "it has failed";
  for (const { name, state: at } of state.containers) {
    if (at.type === "waiting" && !ON_ITS_WAY.has(at.reason))
      return `${name}: ${at.reason}${at.message === undefined ? "" : `: ${at.message}`}`;
  }
  return state.problem === undefined ? undefined : `${state.problem.reason}: ${state.problem.message}`;
}

/** A pod changed: its source may have waited for that, or notice that it was changed by hand. */
export function tellGitSources(sources: GitSources, supervisor: PodSupervisor, change: PodChange): void {
  if (change.type === "removed") sources.podGone(change.key);
  else {
    const state = supervisor.get(change.uid);
    const place = state === undefined ? undefined : gitPlace(state.desired.origin);
    if (state !== undefined && place !== undefined) {
      const { desired, sandbox } = state;
      const seen = { key: desired.key, version: versionId(desired), sandbox: sandbox?.id, ended: endedByOthers(state) };
      sources.podSeen(place.source, seen);
    }
  }
  sources.podsChanged();
}

/** Containers whose last run somebody else ended, and that go on. */
function endedByOthers(state: PodState): SeenPod["ended"] {
  if (state.deletionDeadline !== undefined || state.failure !== undefined) return [];
  return state.containers.flatMap(({ name, state: now, lastTermination: last }) => {
    if (now.type === "terminated" || last?.endedByOthers === undefined) return [];
    return [{ container: name, containerId: last.containerId, how: last.endedByOthers }];
  });
}
