/** Values of fieldRef and resourceFieldRef. */
import { type Container, type Pod, parseBytes, parseMilliCpu, parseQuantity } from "../../manifest/index.ts";
import { GantryError } from "../../system/errors.ts";
import type { NodeFacts } from "../contract.ts";

export interface FieldContext {
  readonly pod: Pod;
  readonly uid: string;
  readonly node: NodeFacts;
  /** Addresses of the pod; those of the node with hostNetwork. */
  readonly ips: readonly string[];
}

/** @throws unsupported for a path that Kubernetes does not offer to the environment either */
export function fieldValue(path: string, { pod, uid, node, ips }: FieldContext): string {
  const subscript = /^metadata\.(labels|annotations)\['([^']*)'\]$/.exec(path);
  if (subscript !== null) {
    const map = subscript[1] === "labels" ? pod.metadata.labels : pod.metadata.annotations;
    return map?.[subscript[2] ?? ""] ?? "";
  }
  switch (path) {
    case "metadata.name":
      return pod.metadata.name;
    case "metadata.namespace":
      return pod.metadata.namespace;
    case "metadata.uid":
      return uid;
    case "spec.nodeName":
      return node.name;
    case "spec.serviceAccountName":
      return pod.spec.serviceAccountName ?? "default";
    case "status.hostIP":
    case "status.hostIPs":
      return node.ip;
    case "status.podIP":
      return ips[0] ?? "";
    case "status.podIPs":
      return ips.join(",");
    default:
      throw new GantryError("unsupported", `fieldRef ${JSON.stringify(path)} is not supported`, {
        hint: "Use metadata.name, metadata.namespace, metadata.uid, metadata.labels['KEY'], metadata.annotations['KEY'], spec.nodeName, spec.serviceAccountName, status.hostIP or status.podIP.",
      });
  }
}

/**
 * `fieldValue` for the files of volumes, where labels and annotations may be had as a whole: a line `key="value"` for
 * each, sorted, the value as a string of Go (k8s.io/kubernetes/pkg/fieldpath FormatMap).
 */
export function volumeFieldValue(path: string, context: FieldContext): string {
  const { labels, annotations } = context.pod.metadata;
  if (path === "metadata.labels") return formatMap(labels);
  if (path === "metadata.annotations") return formatMap(annotations);
  return fieldValue(path, context);
}

function formatMap(map: Readonly<Record<string, string>> = {}): string {
  return Object.entries(map)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, value]) => `${key}=${JSON.stringify(value)}`)
    .join("\n");
}

/** The container of that name. @throws GantryError invalid-manifest */
export function containerNamed(pod: Pod, name: string): Container {
  const all = [...(pod.spec.initContainers ?? []), ...pod.spec.containers];
  const found = all.find((container) => container.name === name);
  if (found !== undefined) return found;
  throw new GantryError(
    "invalid-manifest",
    `resourceFieldRef names the container ${name}, which the pod does not have`,
    {
      hint: `Its containers are ${all.map((container) => container.name).join(", ")}.`,
    },
  );
}

/**
 * Rounded up to whole divisors; a limit that is not set is that of the whole pod, else the node's capacity.
 * @throws unsupported
 */
export function resourceValue(
  pod: Pod,
  container: Container,
  resource: string,
  divisor: string,
  node: NodeFacts,
): string {
  const { requests } = container.resources;
  const limits = { ...pod.spec.resources?.limits, ...container.resources.limits };
  switch (resource) {
    case "limits.cpu":
    case "requests.cpu": {
      const given = resource === "limits.cpu" ? limits?.["cpu"] : requests?.["cpu"];
      const fallback = resource === "limits.cpu" ? node.cpus * 1000 : 0;
      const milli = (given === undefined ? undefined : parseMilliCpu(given)) ?? fallback;
      return String(Math.ceil(milli / Math.max(1, parseMilliCpu(divisor) ?? 1000)));
    }
    case "limits.memory":
    case "requests.memory":
    case "limits.ephemeral-storage":
    case "requests.ephemeral-storage": {
      const [which = "", name = ""] = resource.split(".");
      const given = (which === "limits" ? limits : requests)?.[name];
      const fallback = resource === "limits.memory" ? node.memoryBytes : 0;
      const bytes = (given === undefined ? undefined : parseBytes(given)) ?? fallback;
      return String(Math.ceil(bytes / Math.max(1, parseQuantity(divisor) ?? 1)));
    }
    default:
      throw new GantryError("unsupported", `resourceFieldRef ${JSON.stringify(resource)} is not supported`, {
        hint: "Use limits or requests of cpu, memory or ephemeral-storage.",
      });
  }
}
