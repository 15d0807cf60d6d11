import type { FieldOwners, PodObject, PodWatchEvent } from "../api/contract.ts";
import type { Pod } from "../manifest/index.ts";
import type { DesiredPod, NodeFacts, PodState, PodSupervisor } from "../pod/contract.ts";
import { podStatus } from "../status.ts";
import type { Clock } from "../system/clock.ts";
import { withOwners } from "./workload-objects.ts";

/** Where a pod is written, as an annotation on what the API serves. */
export const ORIGIN_ANNOTATION = "gantry.dev/manifest";
/** The runtime class that a pod got, for pods that name none. */
export const RUNTIME_ANNOTATION = "gantry.dev/runtime-class";
/** Accepted fields that have no meaning here; one a line. */
export const WARNINGS_ANNOTATION = "gantry.dev/warnings";
/** What a driver tells about the sandbox, as JSON. */
export const SANDBOX_ANNOTATION = "gantry.dev/sandbox";

/** Who signed the containers' images, by container, as JSON; those that nobody was asked to sign are left out. */
export const SIGNED_BY_ANNOTATION = "gantry.dev/signed-by";

/** What is going on with the pod's images, or was undone: one sentence a line. */
export const UPDATE_ANNOTATION = "gantry.dev/auto-update-status";

export interface PodObjects {
  /** What `notes` says about the pod is different now. */
  refresh(uid: string): void;
  /** The pods of these keys are wanted otherwise than before. */
  wantedChanged(keys: ReadonlySet<string>): void;
  list(): PodObject[];
  watch(listener: (change: PodWatchEvent) => void): () => void;
  close(): void;
}

export interface PodObjectParts {
  readonly supervisor: PodSupervisor;
  readonly node: NodeFacts;
  readonly clock: Clock;
  readonly notes: (key: string) => readonly string[];
  readonly owners: (key: string) => FieldOwners;
  /** How the pod is wanted now; undefined when nobody wants it, or what is written of it can't be accepted. */
  readonly wanted: (key: string) => DesiredPod | undefined;
}

/**
 * The pods as the API serves them. One is computed when something about its pod changes, not per request; every
 * change gets a resourceVersion, and the numbers go on growing across restarts because they begin at the clock's time.
 *
 * A pod's spec is what is wanted of it, from the moment that it is written; what runs follows. Until it has,
 * status.observedGeneration stays behind metadata.generation, so that nobody takes the old one's readiness for the
 * new one's.
 */
export function createPodObjects(parts: PodObjectParts): PodObjects {
  const { supervisor, clock } = parts;
  const objects = new Map<string, PodObject>();
  const generations = new Map<string, Generation>();
  const listeners = new Set<(change: PodWatchEvent) => void>();
  let version = clock.now() * 1000;
  const announce = (change: PodWatchEvent): void => {
    for (const listener of listeners) listener(change);
  };
  const render = (state: PodState): PodObject => {
    const { key } = state.desired;
    const shown = parts.wanted(key) ?? state.desired;
    const generation = nextGeneration(generations.get(state.uid), shown, isInForce(state, shown));
    generations.set(state.uid, generation);
    const object = podObject({ state, shown, generation }, parts.node, String(++version), parts.notes(key));
    return withOwners(object, parts.owners(key));
  };
  const refresh = (uid: string): void => {
    const state = supervisor.get(uid);
    if (state === undefined) return;
    const before = objects.get(uid);
    const object = render(state);
    if (before !== undefined && sameButVersion(before, object)) return;
    objects.set(uid, object);
    announce({ type: before === undefined ? "ADDED" : "MODIFIED", object });
  };
  const forget = (uid: string): void => {
    const object = objects.get(uid);
    if (object === undefined) return;
    objects.delete(uid);
    generations.delete(uid);
    announce({
      type: "DELETED",
      object: { ...object, metadata: { ...object.metadata, resourceVersion: String(++version) } },
    });
  };
  for (const { uid } of supervisor.list()) refresh(uid);
  const unsubscribe = supervisor.subscribe((change) =>
    change.type === "removed" ? forget(change.uid) : refresh(change.uid),
  );
  return {
    refresh,
    wantedChanged(keys) {
      for (const { uid, desired } of supervisor.list()) if (keys.has(desired.key)) refresh(uid);
    },
    list: () => [...objects.values()],
    watch(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    close: unsubscribe,
  };
}

/** Counts the specs that a pod was to have. */
interface Generation {
  readonly spec: Pod["spec"];
  readonly text: string;
  readonly number: number;
  /** The last one that what runs was made from. */
  readonly observed: number;
}

function nextGeneration(before: Generation | undefined, { pod: { spec } }: DesiredPod, inForce: boolean): Generation {
  const text = before?.spec === spec ? before.text : JSON.stringify(spec);
  const number = before === undefined ? 1 : before.number + (before.text === text ? 0 : 1);
  return { spec, text, number, observed: inForce ? number : (before?.observed ?? 0) };
}

/** Whether what there is of the pod was made from what is wanted of it. */
function isInForce({ desired, containers }: PodState, shown: DesiredPod): boolean {
  if (containers.some(({ outdated }) => outdated === true)) return false;
  if (desired === shown) return true;
  const hashes = ({ sandboxHash, containerHashes }: DesiredPod): string =>
    JSON.stringify([sandboxHash, Object.entries(containerHashes).sort()]);
  return hashes(desired) === hashes(shown);
}

interface Rendered {
  readonly state: PodState;
  readonly shown: DesiredPod;
  readonly generation: Generation;
}

function podObject(
  { state, shown, generation }: Rendered,
  node: NodeFacts,
  resourceVersion: string,
  notes: readonly string[],
): PodObject {
  const { pod, origin, warnings } = shown;
  const detail = state.sandbox?.detail ?? {};
  const signed = state.containers.filter(({ signers }) => signers.length > 0);
  return {
    ...pod,
    metadata: {
      ...pod.metadata,
      uid: state.uid,
      resourceVersion,
      generation: generation.number,
      creationTimestamp: new Date(state.createdAt).toISOString(),
      annotations: {
        ...pod.metadata.annotations,
        [ORIGIN_ANNOTATION]: origin,
        [RUNTIME_ANNOTATION]: state.desired.runtimeClass,
        ...(warnings.length > 0 && { [WARNINGS_ANNOTATION]: warnings.join("\n") }),
        ...(notes.length > 0 && { [UPDATE_ANNOTATION]: notes.join("\n") }),
        ...(signed.length > 0 && {
          [SIGNED_BY_ANNOTATION]: JSON.stringify(
            Object.fromEntries(signed.map(({ name, signers }) => [name, signers])),
          ),
        }),
        ...(Object.keys(detail).length > 0 && { [SANDBOX_ANNOTATION]: JSON.stringify(detail) }),
      },
      ...(state.deletionDeadline !== undefined && {
        deletionTimestamp: new Date(state.deletionDeadline).toISOString(),
      }),
    },
    spec: { ...pod.spec, nodeName: node.name },
    status: { observedGeneration: generation.observed, ...podStatus(state, node) },
  };
}

function sameButVersion(a: PodObject, b: PodObject): boolean {
  const strip = ({ metadata, ...rest }: PodObject): string =>
    JSON.stringify([{ ...metadata, resourceVersion: "" }, rest]);
  return strip(a) === strip(b);
}
