import type { PodState } from "../pod/contract.ts";
import type { PodView, Scene } from "./contract.ts";
import { type Entries, type Entry, isLive, keyOf } from "./entries.ts";
import { controllerOf } from "./names.ts";
import { podView } from "./view.ts";

/** What one look sees. */
export interface Sight {
  /** ms since the epoch */
  readonly now: number;
  readonly suffix: () => string;
  /** The pods that are there, by key. */
  readonly states: ReadonlyMap<string, readonly PodState[]>;
  /** Pods that are on their way out, by the uid of their owner: no entry is left of them. */
  readonly leaving: ReadonlyMap<string, readonly PodView[]>;
}

/** What the controller of the object with that uid is shown. Pure. */
export function sceneOf(entries: Entries, uid: string, { now, suffix, states, leaving }: Sight): Scene {
  const children = entries.childrenOf(uid);
  const podsOf = (of: readonly Entry[], owner: string): PodView[] => [
    ...of.flatMap((entry) => (isLive(entry, "Pod") ? [viewOf(entry, states)] : [])),
    ...(leaving.get(owner) ?? []),
  ];
  return {
    now,
    suffix,
    pods: podsOf(children, uid),
    replicaSets: children.flatMap((entry) =>
      isLive(entry, "ReplicaSet") ? [{ live: entry, pods: podsOf(entries.childrenOf(entry.uid), entry.uid) }] : [],
    ),
    jobs: children.filter((entry) => isLive(entry, "Job")),
    revisions: children.filter((entry) => isLive(entry, "ControllerRevision")),
    claims: new Set(
      entries.list().flatMap(([, { object }]) => (object.kind === "PersistentVolumeClaim" ? [keyOf(object)] : [])),
    ),
  };
}

function viewOf(
  { object, createdAt }: Pick<Entry, "createdAt"> & { readonly object: PodView["pod"] },
  states: Sight["states"],
): PodView {
  const stays = states.get(keyOf(object))?.find(({ deletionDeadline }) => deletionDeadline === undefined);
  return podView(object, createdAt, stays);
}

/** Pods that run, are asked for by no entry any more, and were made by a controller, by the uid of that. Pure. */
export function leavingPods(states: readonly PodState[], entries: Entries): ReadonlyMap<string, PodView[]> {
  const found = states.flatMap((state) => {
    const { pod, key } = state.desired;
    const owner = controllerOf(pod);
    // Where the same name is asked for again already, the entry speaks for it, and waits by itself.
    if (owner === undefined || entries.has(`Pod ${key}`)) return [];
    return [{ owner: owner.uid, view: { ...podView(pod, state.createdAt, state), deleting: true } }];
  });
  const byOwner = Map.groupBy(found, ({ owner }) => owner);
  return new Map([...byOwner].map(([owner, pods]) => [owner, pods.map(({ view }) => view)]));
}
