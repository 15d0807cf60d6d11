/** What a Service stands for: the pure part, for whoever gives names and addresses to it. */
import { type Pod, type Service, selects } from "../manifest/index.ts";

/** A pod as a Service looks at it. */
export interface Candidate {
  readonly pod: Pod;
  readonly ips: readonly string[];
  readonly ready: boolean;
  readonly deleting: boolean;
}

export interface ServicePortOf {
  readonly name: string | undefined;
  readonly protocol: "TCP" | "UDP" | "SCTP";
  readonly port: number;
}

export interface Endpoint {
  /** "<namespace>/<name>" */
  readonly pod: string;
  /** The pod's hostname, where its subdomain is this Service: `<hostname>.<service>`. */
  readonly hostname: string | undefined;
  readonly ips: readonly string[];
  readonly ready: boolean;
  /** Where each port of the Service is served; those that the pod does not have are left out. */
  readonly ports: readonly (ServicePortOf & { readonly targetPort: number })[];
}

export interface ResolvedService {
  /** "<namespace>/<name>" */
  readonly key: string;
  readonly ports: readonly ServicePortOf[];
  /** By pod; with publishNotReadyAddresses also those that are not ready. */
  readonly endpoints: readonly Endpoint[];
}

/** A Service without a selector has no endpoints: nobody here would fill them in. */
export function resolveService({ metadata, spec }: Service, candidates: readonly Candidate[]): ResolvedService {
  const { selector = {}, ports = [], publishNotReadyAddresses = false } = spec;
  const named = ports.map(({ name, protocol, port }) => ({ name, protocol, port }));
  const endpoints = Object.keys(selector).length === 0 ? [] : candidates.flatMap(endpointOf);
  return { key: `${metadata.namespace}/${metadata.name}`, ports: named, endpoints: endpoints.sort(byPod) };

  function endpointOf({ pod, ips, ready, deleting }: Candidate): Endpoint[] {
    const chosen =
      pod.metadata.namespace === metadata.namespace && selects({ matchLabels: selector }, pod.metadata.labels);
    if (!chosen || ips.length === 0 || !(publishNotReadyAddresses || (ready && !deleting))) return [];
    const key = `${pod.metadata.namespace}/${pod.metadata.name}`;
    const served = ports.flatMap(({ name, protocol, port, targetPort = port }) => {
      const number = typeof targetPort === "number" ? targetPort : portNamed(pod, targetPort, protocol);
      return number === undefined ? [] : [{ name, protocol, port, targetPort: number }];
    });
    const hostname = pod.spec.subdomain === metadata.name ? (pod.spec.hostname ?? pod.metadata.name) : undefined;
    return [{ pod: key, hostname, ips, ready, ports: served }];
  }
}

function portNamed({ spec }: Pod, name: string, protocol: string): number | undefined {
  const ports = [...(spec.initContainers ?? []), ...spec.containers].flatMap((container) => container.ports ?? []);
  return ports.find((port) => port.name === name && port.protocol === protocol)?.containerPort;
}

function byPod(a: Endpoint, b: Endpoint): number {
  return a.pod < b.pod ? -1 : 1;
}
