import type { FieldOwners, PodObject, PodWatchEvent } from "../api/contract.ts";
import type { NodeFacts, PodState, PodSupervisor } from "../pod/contract.ts";
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
  list(): PodObject[];
  watch(listener: (change: PodWatchEvent) => void): () => void;
  close(): void;
}

/**
 * The pods as the API serves them. One is computed when something about its pod changes, not per request; every
 * change gets a resourceVersion, and the numbers go on growing across restarts because they begin at the clock's time.
 */
export function createPodObjects(
  supervisor: PodSupervisor,
  node: NodeFacts,
  clock: Clock,
  notes: (key: string) => readonly string[],
  owners: (key: string) => FieldOwners,
): PodObjects {
  const objects = new Map<string, PodObject>();
  const listeners = new Set<(change: PodWatchEvent) => void>();
  let version = clock.now() * 1000;
  const announce = (change: PodWatchEvent): void => {
    for (const listener of listeners) listener(change);
  };
  const render = (state: PodState): PodObject =>
    withOwners(podObject(state, node, String(++version), notes(state.desired.key)), owners(state.desired.key));
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
    list: () => [...objects.values()],
    watch(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    close: unsubscribe,
  };
}

function podObject(state: PodState, node: NodeFacts, resourceVersion: string, notes: readonly string[]): PodObject {
  const { pod, origin, runtimeClass, warnings } = state.desired;
  const detail = state.sandbox?.detail ?? {};
  const signed = state.containers.filter(({ signers }) => signers.length > 0);
  return {
    ...pod,
    metadata: {
      ...pod.metadata,
      uid: state.uid,
      resourceVersion,
      creationTimestamp: new Date(state.createdAt).toISOString(),
      annotations: {
        ...pod.metadata.annotations,
        [ORIGIN_ANNOTATION]: origin,
        [RUNTIME_ANNOTATION]: runtimeClass,
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
    status: podStatus(state, node),
  };
}

function sameButVersion(a: PodObject, b: PodObject): boolean {
  const strip = ({ metadata, ...rest }: PodObject): string =>
    JSON.stringify([{ ...metadata, resourceVersion: "" }, rest]);
  return strip(a) === strip(b);
}
