/** Who is behind a Service, as discovery.k8s.io/v1 EndpointSlices. Pure. */
import { hashOf } from "../hash.ts";
import { timestamp } from "../system/timestamp.ts";
import type { Served } from "./contract.ts";

export interface SliceOf {
  readonly served: Served;
  /** The Service's. */
  readonly uid: string;
  /** ms since the epoch */
  readonly createdAt: number;
  readonly nodeName: string;
}

/** Pods that have the Service's ports at the same numbers are in one slice; mostly that is all of them. */
export function slicesOf({ served: { service, resolved }, uid, createdAt, nodeName }: SliceOf) {
  const { name, namespace } = service.metadata;
  const groups = [...Map.groupBy(resolved.endpoints, ({ ports }) => JSON.stringify(ports))];
  // As in Kubernetes there is one that says so when nobody is behind it.
  return (groups.length === 0 ? [["[]", []] as const] : groups).map(([key, endpoints]) => {
    const ports = endpoints[0]?.ports ?? [];
    return {
      apiVersion: "discovery.k8s.io/v1",
      kind: "EndpointSlice",
      metadata: {
        name: `${name}-${hashOf(key).slice(0, 5)}`,
        namespace,
        uid: `${uid}-${hashOf(key)}`,
        creationTimestamp: timestamp(createdAt),
        generation: 1,
        labels: { "kubernetes.io/service-name": name, "endpointslice.kubernetes.io/managed-by": "gantry.dev" },
        ownerReferences: [{ apiVersion: "v1", kind: "Service", name, uid, controller: true, blockOwnerDeletion: true }],
      },
      addressType: "IPv4",
      ports: ports.map((port) => ({ name: port.name ?? "", port: port.targetPort, protocol: port.protocol })),
      endpoints: endpoints.map(({ pod, ips, hostname, ready }) => ({
        addresses: ips,
        conditions: { ready, serving: ready, terminating: false },
        ...(hostname !== undefined && { hostname }),
        nodeName,
        targetRef: { kind: "Pod", namespace, name: pod.slice(namespace.length + 1) },
      })),
    };
  });
}

export type EndpointSlice = ReturnType<typeof slicesOf>[number];

/** The same as v1 Endpoints, which older clients ask for: one object for each Service. Pure. */
export function endpointsOf(slices: readonly EndpointSlice[]) {
  const services = Map.groupBy(slices, ({ metadata }) => metadata.ownerReferences[0]?.uid ?? "");
  return [...services].flatMap(([uid, [first, ...others]]) => {
    if (first === undefined) return [];
    const { namespace, creationTimestamp, labels } = first.metadata;
    return {
      apiVersion: "v1",
      kind: "Endpoints",
      metadata: { name: labels["kubernetes.io/service-name"], namespace, uid: `${uid}-endpoints`, creationTimestamp },
      subsets: [first, ...others].filter(({ endpoints }) => endpoints.length > 0).map(subsetOf),
    };
  });
}

function subsetOf({ endpoints, ports }: EndpointSlice) {
  const addressesOf = (wanted: boolean) =>
    endpoints
      .filter(({ conditions: { ready } }) => ready === wanted)
      .flatMap(({ addresses, nodeName, targetRef, hostname }) =>
        addresses.map((ip) => ({ ip, ...(hostname !== undefined && { hostname }), nodeName, targetRef })),
      );
  const [addresses, notReadyAddresses] = [addressesOf(true), addressesOf(false)];
  return {
    ...(addresses.length > 0 && { addresses }),
    ...(notReadyAddresses.length > 0 && { notReadyAddresses }),
    ports: ports.map(({ name, ...port }) => (name === "" ? port : { name, ...port })),
  };
}
