import { SAMPLE_IMAGE } from "../../../src/image/index.ts";
import { FOREVER, type RuntimeClass } from "../harness.ts";

type Fields = Record<string, unknown>;

const API: Readonly<Record<string, string>> = {
  Deployment: "apps/v1",
  ReplicaSet: "apps/v1",
  StatefulSet: "apps/v1",
  DaemonSet: "apps/v1",
  Job: "batch/v1",
  CronJob: "batch/v1",
  RuntimeClass: "node.k8s.io/v1",
};

const WITH_TEMPLATE = ["Deployment", "ReplicaSet", "StatefulSet", "DaemonSet", "Job"];

/**
 * The manifest that a short form stands for.
 * - { pod: NAME, labels, annotations, app: CONTAINER, …fields of the spec }
 * - { config: NAME, data }, { secret: NAME, data }, { claim: NAME, …fields of the spec }
 * - { KIND: NAME, labels, annotations, app: CONTAINER, template: {…fields of the pod's spec}, …fields of the spec }
 * - anything with a `kind` is written as it stands, but for the namespace.
 * A container without image has the sample image, one without command goes on for ever, `sh` is a line of shell. The
 * grace is a second. Pods have the class that is tested unless they name one.
 */
export function manifest(short: Fields, namespace: string, runtimeClass: RuntimeClass): Fields {
  const object = longForm(short, runtimeClass);
  const metadata = { namespace, ...(object["metadata"] as Fields) };
  return object["kind"] === "RuntimeClass" ? object : { ...object, metadata };
}

function longForm(short: Fields, runtimeClass: RuntimeClass): Fields {
  const { labels, annotations, ...fields } = short;
  const metadata = (name: unknown): Fields => ({ name, ...optional({ labels, annotations }) });
  const { pod, config, secret, claim, data, ...spec } = fields;
  if (pod !== undefined)
    return { apiVersion: "v1", kind: "Pod", metadata: metadata(pod), spec: podSpec(spec, runtimeClass) };
  if (config !== undefined) return { apiVersion: "v1", kind: "ConfigMap", metadata: metadata(config), data };
  if (secret !== undefined) return { apiVersion: "v1", kind: "Secret", metadata: metadata(secret), stringData: data };
  if (claim !== undefined) return { apiVersion: "v1", kind: "PersistentVolumeClaim", metadata: metadata(claim), spec };
  const kind = Object.keys(short).find((key) => /^[A-Z]/.test(key));
  if (kind === undefined || "kind" in short) return short;
  const { [kind]: name, app, template, ...rest } = fields;
  return {
    apiVersion: API[kind] ?? "v1",
    kind,
    metadata: metadata(name),
    ...withSpec(kind, String(name), rest, { ...(template as Fields), ...optional({ app }) }, runtimeClass),
  };
}

function withSpec(kind: string, name: string, rest: Fields, pod: Fields, runtimeClass: RuntimeClass): Fields {
  if (kind === "RuntimeClass") return rest;
  const labels = { app: name };
  const template = { metadata: { labels }, spec: podSpec(pod, runtimeClass) };
  if (kind === "CronJob") {
    const { job, ...spec } = rest;
    return { spec: { ...spec, jobTemplate: { spec: { ...(job as Fields), template } } } };
  }
  if (!WITH_TEMPLATE.includes(kind)) return { spec: rest };
  const selector = kind === "Job" ? {} : { selector: { matchLabels: labels } };
  return { spec: { ...selector, ...rest, template } };
}

function podSpec({ app, containers, initContainers, ...spec }: Fields, runtimeClass: RuntimeClass): Fields {
  const all = (list: unknown): Fields[] => (list as Fields[]).map(container);
  return {
    terminationGracePeriodSeconds: 1,
    ...(runtimeClass === "microvm" && { runtimeClassName: runtimeClass }),
    ...spec,
    containers: containers === undefined ? [container((app ?? {}) as Fields)] : all(containers),
    ...(initContainers !== undefined && { initContainers: all(initContainers) }),
  };
}

function container({ sh, ...fields }: Fields): Fields {
  const script = sh ?? ("command" in fields || "args" in fields ? undefined : FOREVER);
  return {
    name: "app",
    image: SAMPLE_IMAGE,
    ...(script !== undefined && { command: ["sh", "-c", script] }),
    ...fields,
  };
}

function optional(fields: Fields): Fields {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
}
