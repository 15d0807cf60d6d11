import type { ObjectWatchEvent, ServedObject } from "../api/contract.ts";
import type { Live } from "../controller/contract.ts";
import type { Kept } from "../controller/entries.ts";
import type { Controllers } from "../controller/manager.ts";
import type { Clock } from "../system/clock.ts";

export interface WorkloadObjects {
  list(): readonly ServedObject[];
  watch(listener: (change: ObjectWatchEvent) => void): () => void;
}

/** Deployments, Jobs … as the API serves them; one is rendered again when it changed, and gets a new resourceVersion. */
export function createWorkloadObjects(
  controllers: Controllers,
  watch: (listener: () => void) => () => void,
  clock: Clock,
): WorkloadObjects {
  const served = new Map<string, { readonly text: string; readonly object: ServedObject }>();
  const listeners = new Set<(change: ObjectWatchEvent) => void>();
  let version = clock.now() * 1000;
  const announce = (type: ObjectWatchEvent["type"], object: ServedObject): void => {
    for (const listener of listeners) listener({ type, object });
  };
  const refresh = (): void => {
    const there = new Set<string>();
    for (const live of controllers.objects()) {
      const rendered = render(live, "", controllers.originOf(live));
      there.add(live.uid);
      const text = JSON.stringify(rendered);
      const before = served.get(live.uid);
      if (before?.text === text) continue;
      const metadata = { ...rendered.metadata, resourceVersion: String(++version) };
      const object = { ...rendered, metadata };
      served.set(live.uid, { text, object });
      announce(before === undefined ? "ADDED" : "MODIFIED", object);
    }
    for (const [uid, { object }] of [...served]) {
      if (there.has(uid)) continue;
      served.delete(uid);
      announce("DELETED", { ...object, metadata: { ...object.metadata, resourceVersion: String(++version) } });
    }
  };
  refresh();
  watch(refresh);
  return {
    list: () => [...served.values()].map(({ object }) => object),
    watch(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}

function render(live: Live<Kept>, resourceVersion: string, origin: string | undefined): ServedObject {
  const { object, uid, createdAt, generation, status } = live;
  const { name, namespace, labels, annotations, ownerReferences } = object.metadata;
  const shown = { ...annotations, ...(origin !== undefined && { "gantry.dev/manifest": origin }) };
  const revision = object.kind === "ControllerRevision" ? { revision: object.revision, data: object.data } : {};
  return {
    ...revision,
    apiVersion: object.apiVersion,
    kind: object.kind,
    metadata: {
      name,
      namespace,
      uid,
      resourceVersion,
      creationTimestamp: `${new Date(createdAt).toISOString().slice(0, 19)}Z`,
      generation,
      ...(labels !== undefined && { labels }),
      ...(Object.keys(shown).length > 0 && { annotations: shown }),
      ...(ownerReferences !== undefined && { ownerReferences }),
    },
    ...("spec" in object && isRecord(object.spec) && { spec: object.spec }),
    ...(status !== undefined && { status }),
  };
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null;
}
