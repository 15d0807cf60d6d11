/** metrics.k8s.io/v1beta1: what `kubectl top` and `gantry top` ask for. */
import type { FastifyInstance } from "fastify";
import type { Metrics, ResourceUsage } from "../../metrics/meter.ts";
import type { ApiBackend } from "../contract.ts";
import type { NodeMetrics, PodMetrics, Usage } from "../wire.ts";
import { describe, type ResourceDescription } from "./discovery.ts";
import { basePath, find, listOrWatch, type Resource } from "./resources.ts";
import { route } from "./routing.ts";
import type { Streams } from "./streaming.ts";

const GROUP = { group: "metrics.k8s.io", version: "v1beta1" } as const;

/** @returns what discovery says of it */
export function serveMetrics(app: FastifyInstance, backend: ApiBackend, streams: Streams): ResourceDescription[] {
  const base = basePath(GROUP);
  const pods = async (): Promise<Resource<PodMetrics>> => podResource(podMetrics(await backend.metrics()));
  const nodes = async (): Promise<Resource<NodeMetrics>> => nodeResource([nodeMetrics(await backend.metrics())]);
  for (const path of [`${base}/pods`, `${base}/namespaces/:namespace/pods`])
    route(app, path, { GET: async (call) => listOrWatch(call, await pods(), streams) });
  route(app, `${base}/namespaces/:namespace/pods/:name`, {
    GET: async ({ param }) => find(await pods(), param("namespace"), param("name")),
  });
  route(app, `${base}/nodes`, { GET: async (call) => listOrWatch(call, await nodes(), streams) });
  route(app, `${base}/nodes/:name`, { GET: async ({ param }) => find(await nodes(), undefined, param("name")) });
  return [describe(podResource([]), "list"), describe(nodeResource([]), "list")];
}

function podResource(items: readonly PodMetrics[]): Resource<PodMetrics> {
  const names = { ...GROUP, plural: "pods", kind: "PodMetrics", namespaced: true, shortNames: [] };
  return { ...names, list: () => items, fields: {} };
}

function nodeResource(items: readonly NodeMetrics[]): Resource<NodeMetrics> {
  const names = { ...GROUP, plural: "nodes", kind: "NodeMetrics", namespaced: false, shortNames: [] };
  return { ...names, list: () => items, fields: {} };
}

function podMetrics(metrics: Metrics): PodMetrics[] {
  const measured = measuredAt(metrics);
  return metrics.pods.map(({ namespace, name, labels, containers }) => ({
    kind: "PodMetrics",
    ...measured,
    metadata: { name, namespace, labels, creationTimestamp: measured.timestamp },
    containers: containers.map((container) => ({ name: container.name, usage: usageOf(container) })),
  }));
}

function nodeMetrics(metrics: Metrics): NodeMetrics {
  const measured = measuredAt(metrics);
  const { name } = metrics.node;
  return {
    kind: "NodeMetrics",
    ...measured,
    metadata: { name, labels: { "kubernetes.io/hostname": name }, creationTimestamp: measured.timestamp },
    usage: usageOf(metrics.node),
  };
}

function measuredAt({ at, windowMs }: Metrics) {
  const apiVersion = "metrics.k8s.io/v1beta1";
  return { apiVersion, timestamp: new Date(at).toISOString(), window: `${windowMs / 1000}s` } as const;
}

function usageOf({ cpuNano, memoryBytes }: ResourceUsage): Usage {
  return { cpu: `${cpuNano}n`, memory: `${Math.ceil(memoryBytes / 1024)}Ki` };
}
