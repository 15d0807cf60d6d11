import type { FieldOwners, ObjectWatchEvent, ServedObject } from "../api/contract.ts";
import type { Live, Memory } from "../controller/contract.ts";
import type { Kept } from "../controller/entries.ts";
import type { Controllers } from "../controller/manager.ts";
import type { PodTemplate } from "../manifest/index.ts";
import { portKey } from "../service/contract.ts";
import type { Clock } from "../system/clock.ts";
import { timestamp } from "../system/timestamp.ts";
import type { FactsOfObjects } from "./object-facts.ts";

export interface WorkloadObjects {
  /** What is derived, or what clients left with an object, may be otherwise now. */
  refresh(): void;
  list(): readonly ServedObject[];
  watch(listener: (change: ObjectWatchEvent) => void): () => void;
}

/** What is derived from others, such as EndpointSlices; it gets its resourceVersion here. */
export type Derived = Omit<ServedObject, "metadata"> & {
  readonly metadata: Omit<ServedObject["metadata"], "resourceVersion">;
};

/**
 * Deployments, Jobs … as the API serves them; one is rendered again when it changed, and gets a new resourceVersion.
 * @param complete adds what only others know of an object that a controller keeps
 * @param watch calls back when something may have changed
 */
export function createWorkloadObjects(
  controllers: Controllers,
  derived: () => readonly Derived[],
  complete: (object: Derived) => Derived,
  watch: (listener: () => void) => () => void,
  facts: Pick<FactsOfObjects, "get" | "forget">,
  clock: Clock,
): WorkloadObjects {
  const served = new Map<string, { readonly source: Derived; readonly text: string; readonly object: ServedObject }>();
  const listeners = new Set<(change: ObjectWatchEvent) => void>();
  let version = clock.now() * 1000;
  const announce = (type: ObjectWatchEvent["type"], object: ServedObject): void => {
    for (const listener of listeners) listener({ type, object });
  };
  const refresh = (): void => {
    const there = new Set<string>();
    const identities = new Set<string>();
    const all = [
      ...controllers.objects().map((live) => complete(render(live, controllers.originOf(live)))),
      ...derived(),
    ];
    for (const source of all) {
      const { uid } = source.metadata;
      there.add(uid);
      identities.add(identityOf(source));
      const before = served.get(uid);
      const rendered = withOwners(source, facts.get(identityOf(source)));
      if (before?.source === rendered) continue;
      const text = JSON.stringify(rendered);
      if (before?.text === text) continue;
      const metadata = { ...rendered.metadata, resourceVersion: String(++version) };
      const object = { ...rendered, metadata };
      served.set(uid, { source: rendered, text, object });
      announce(before === undefined ? "ADDED" : "MODIFIED", object);
    }
    for (const [uid, { object }] of [...served]) {
      if (there.has(uid)) continue;
      served.delete(uid);
      // Another of its name may have come in the same moment, and what is kept is its own.
      if (!identities.has(identityOf(object))) facts.forget(identityOf(object));
      announce("DELETED", { ...object, metadata: { ...object.metadata, resourceVersion: String(++version) } });
    }
  };
  refresh();
  watch(refresh);
  return {
    refresh,
    list: () => [...served.values()].map(({ object }) => object),
    watch(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}

export const LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration";

/** The object with what clients left with it; the very same one when that is nothing. */
export function withOwners<
  T extends { readonly metadata: { annotations?: Readonly<Record<string, string>> | undefined } },
>(object: T, { lastApplied, managedFields }: FieldOwners): T {
  if (lastApplied === undefined && managedFields === undefined) return object;
  const { annotations } = object.metadata;
  const metadata = {
    ...object.metadata,
    ...(lastApplied !== undefined && { annotations: { ...annotations, [LAST_APPLIED]: lastApplied } }),
    ...(managedFields !== undefined && { managedFields }),
  };
  return { ...object, metadata };
}

/** "ConfigMap default/settings", "RuntimeClass kata" */
function identityOf({ kind, metadata: { namespace, name } }: Derived): string {
  return namespace === undefined ? `${kind} ${name}` : `${kind} ${namespace}/${name}`;
}

function render(live: Live<Kept>, origin: string | undefined): Derived {
  const { object, uid, createdAt, generation, status } = live;
  const { name, namespace, labels, annotations, ownerReferences } = object.metadata;
  const shown = { ...annotations, ...(origin !== undefined && { "gantry.dev/manifest": origin }) };
  const revision =
    object.kind === "ControllerRevision" ? { revision: object.revision, data: patchOf(object.data.template) } : {};
  return {
    ...revision,
    apiVersion: object.apiVersion,
    kind: object.kind,
    metadata: {
      name,
      namespace,
      uid,
      creationTimestamp: timestamp(createdAt),
      generation,
      ...(labels !== undefined && { labels }),
      ...(Object.keys(shown).length > 0 && { annotations: shown }),
      ...(ownerReferences !== undefined && { ownerReferences }),
    },
    ...("spec" in object && isRecord(object.spec) && { spec: specOf(object, live.memory) }),
    ...(status !== undefined && { status }),
  };
}

/** As Kubernetes keeps it: the patch that puts this version back into its object. */
function patchOf(template: PodTemplate) {
  return { spec: { template: { ...template, $patch: "replace" } } };
}

/** A Service shows the address and the ports that it was given. */
function specOf(object: Kept, memory: Memory): Readonly<Record<string, unknown>> {
  const spec: unknown = "spec" in object ? object.spec : undefined;
  if (!isRecord(spec)) return {};
  if (object.kind !== "Service") return spec;
  const { clusterIP, nodePorts } = memory;
  const ports = object.spec.ports?.map((port) => {
    const nodePort = isRecord(nodePorts) ? nodePorts[portKey(port)] : undefined;
    return { ...port, targetPort: port.targetPort ?? port.port, ...(nodePort !== undefined && { nodePort }) };
  });
  return {
    ...spec,
    ...(ports !== undefined && { ports }),
    ...(typeof clusterIP === "string" && { clusterIP, clusterIPs: [clusterIP] }),
    sessionAffinity: object.spec.sessionAffinity ?? "None",
  };
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null;
}
