import type { PodEvent } from "../../store/contract.ts";
import { timestamp } from "../../system/timestamp.ts";
import type { EventObject } from "../wire.ts";
import { SERVED_KINDS } from "./kinds.ts";
import { groupVersion, type Resource } from "./resources.ts";

const COMPONENT = "gantry";

/** Finds an object that an event is about, by "<kind> <namespace>/<name>". @returns its uid */
export type UidOf = (key: string) => string | undefined;

/**
 * A recorded event as a v1 Event. Pure.
 * @param version its resourceVersion
 */
export function eventObject(event: PodEvent, version: number, uidOf: UidOf): EventObject {
  const involvedObject = involved(event, uidOf);
  return {
    apiVersion: "v1",
    kind: "Event",
    metadata: {
      // The object's name and a number, as Kubernetes names them; files have other characters than names may.
      name: `${involvedObject.name.toLowerCase().replace(/[^a-z0-9.-]+/g, "-")}.${event.id.toString(16)}`,
      // Events about what has no namespace are in "default", as in Kubernetes.
      namespace: involvedObject.namespace ?? "default",
      uid: `event-${event.id}`,
      creationTimestamp: timestamp(event.firstAt),
      resourceVersion: String(version),
    },
    involvedObject,
    type: event.type,
    reason: event.reason,
    message: event.message,
    count: event.count,
    firstTimestamp: timestamp(event.firstAt),
    lastTimestamp: timestamp(event.at),
    source: { component: COMPONENT },
    reportingComponent: COMPONENT,
    reportingInstance: "",
  };
}

/**
 * `object` is "<kind>/<namespace>/<name>", "Node/<name>" or "Manifest/<file>" (a file may have slashes). Clients look
 * for the events of an object by its uid; of a node that is its name, as kubelets write it.
 */
function involved({ object, podUid }: PodEvent, uidOf: UidOf): EventObject["involvedObject"] {
  const [kind = "", ...rest] = object.split("/");
  if (kind === "Node") return { apiVersion: "v1", kind, name: rest.join("/"), uid: rest.join("/") };
  const apiVersion = kind === "Pod" ? "v1" : API_VERSIONS.get(kind);
  if (apiVersion === undefined) return { apiVersion: "gantry.dev/v1", kind, name: rest.join("/") };
  const [namespace = "default", ...parts] = rest;
  const name = parts.join("/");
  const uid = podUid ?? uidOf(`${kind} ${namespace}/${name}`);
  return { apiVersion, kind, namespace, name, ...(uid !== undefined && { uid }) };
}

const API_VERSIONS: ReadonlyMap<string, string> = new Map(
  SERVED_KINDS.filter(({ namespaced }) => namespaced).map((kind) => [kind.kind, groupVersion(kind)]),
);

/** The collection of v1 Events as one of events.k8s.io/v1: the same events, and other names of their fields. */
export function inNewForm({ cache, list, ...names }: Resource<EventObject>): Resource<NewEventObject> {
  return {
    ...names,
    list: () => list().map(newForm),
    ...(cache !== undefined && { cache: cache.mapped(newForm) }),
    fields: {
      "regarding.kind": ({ regarding }) => regarding.kind,
      "regarding.namespace": ({ regarding }) => regarding.namespace ?? "",
      "regarding.name": ({ regarding }) => regarding.name,
      "regarding.uid": ({ regarding }) => regarding.uid ?? "",
      reason: ({ reason }) => reason,
      type: ({ type }) => type,
      reportingController: ({ reportingController }) => reportingController,
    },
  };
}

type NewEventObject = ReturnType<typeof newForm>;

function newForm(event: EventObject) {
  const { kind, metadata, involvedObject, type, reason, message, count, firstTimestamp, lastTimestamp, source } = event;
  return {
    apiVersion: "events.k8s.io/v1",
    kind,
    metadata,
    eventTime: null,
    ...{ reason, type, note: message, regarding: involvedObject },
    ...{ reportingController: source.component, reportingInstance: "", deprecatedSource: source },
    ...{ deprecatedFirstTimestamp: firstTimestamp, deprecatedLastTimestamp: lastTimestamp, deprecatedCount: count },
  };
}
