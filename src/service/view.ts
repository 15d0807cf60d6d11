/** Pods and Services as they are looked at here. Pure. */
import type { Candidate } from "../controller/service.ts";
import { podView } from "../controller/view.ts";
import type { PodState } from "../pod/contract.ts";
import type { Assignment } from "./addresses.ts";
import type { Served, ServiceLink } from "./contract.ts";
import type { NamedPod } from "./names.ts";

/** @param nodeAddress that of pods with hostNetwork */
export function candidateOf(state: PodState, nodeAddress: string): Candidate {
  const { pod } = state.desired;
  const { ready, deleting, phase } = podView(pod, state.createdAt, state);
  const over = phase === "Succeeded" || phase === "Failed";
  const ips = pod.spec.hostNetwork === true ? [nodeAddress] : (state.sandbox?.ips ?? []);
  return { pod, ips: over ? [] : ips, ready, deleting };
}

/** Pods that have an address, by their names; of two that follow each other, the one that stays. */
export function namedPods(states: readonly PodState[]): NamedPod[] {
  const named = states.flatMap((state) => {
    const { metadata, spec } = state.desired.pod;
    const { namespace, name } = metadata;
    if (state.sandbox === undefined || spec.hostNetwork === true) return [];
    const leaving = state.deletionDeadline !== undefined;
    return [{ namespace, name, ips: state.sandbox.ips, leaving, key: state.desired.key }];
  });
  const staying = new Set(named.filter(({ leaving }) => !leaving).map(({ key }) => key));
  return named.filter(({ key, leaving }) => !leaving || !staying.has(key)).sort((a, b) => (a.key < b.key ? -1 : 1));
}

/** A Service as pods of `namespace` see it; none when it has no address, or is of another namespace. */
export function linkOf(service: Served["service"], namespace: string, byKey: Assignment["byKey"]): ServiceLink[] {
  const { name, namespace: own } = service.metadata;
  const clusterIP = byKey.get(`${own}/${name}`)?.clusterIP;
  if (namespace !== own || clusterIP === undefined || clusterIP === "None") return [];
  return [{ name, clusterIP, ports: service.spec.ports ?? [] }];
}
