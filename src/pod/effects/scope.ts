/** What the effects of one pod share. */
import { join } from "node:path";
import type { ObservedSandbox, SandboxDriver } from "../../sandbox/driver.ts";
import { messageOf } from "../../system/errors.ts";
import type { Limiter } from "../../system/limiter.ts";
import type { ConfigLookup } from "../../volume/contract.ts";
import type { DesiredPod, PodPorts } from "../contract.ts";
import { containerNamed, resourceValue, volumeFieldValue } from "../rules/fields.ts";
import { isOfPod, podLogName } from "../rules/ids.ts";
import type { FactsWriter } from "./facts-writer.ts";
import type { Tracker } from "./tracker.ts";

export interface PodScope {
  readonly uid: string;
  readonly ports: PodPorts;
  readonly writer: FactsWriter;
  /** For starts, and for taking down: both cost processes. */
  readonly limiter: Limiter;
  /** For pulls of this pod. */
  readonly pulls: Limiter;
  /** By container name: what `requireImage` has seen to for its next run. */
  readonly images: Map<string, string>;
  /** Says how far a container's image is; undefined when that is over. */
  readonly pulling: (container: string, text: string | undefined) => void;
  readonly tracker: Tracker;
  /** What the pod has to wait for before it starts, as a sentence. */
  readonly waitsFor: (desired: DesiredPod) => string | undefined;
  /** Path of the host's resolv.conf. */
  readonly resolvConf: string;
}

export function driverOf(scope: PodScope, desired: DesiredPod): SandboxDriver {
  return scope.ports.driverFor(desired.runtimeClass);
}

/** Where a pod in that sandbox is reached from here; undefined when it has no address. */
export function podIp({ ports }: PodScope, { pod }: DesiredPod, sandbox: ObservedSandbox): string | undefined {
  return pod.spec.hostNetwork === true ? ports.node.ip : sandbox.ips[0];
}

export function lookupOf({ ports, uid }: PodScope, { pod }: DesiredPod): ConfigLookup {
  const { namespace } = pod.metadata;
  return {
    configMap: (name) => ports.configMap(namespace, name),
    secret: (name) => ports.secret(namespace, name),
    claim: (name) => ports.claim(namespace, name),
    field: (path) => volumeFieldValue(path, { pod, uid, node: ports.node, ips: [] }),
    resource: (name, resource, divisor) => resourceValue(pod, containerNamed(pod, name), resource, divisor, ports.node),
  };
}

export function logsOf({ ports, uid }: PodScope, { pod }: DesiredPod): string {
  return join(ports.podLogs, podLogName(pod.metadata.namespace, pod.metadata.name, uid));
}

/** Events are for people: one that can't be recorded must not keep the pod from running. */
export function tell(
  scope: PodScope,
  { pod }: DesiredPod,
  type: "Normal" | "Warning",
  reason: string,
  message: string,
): void {
  try {
    scope.ports.event(pod, scope.uid, type, reason, message);
  } catch (error) {
    scope.ports.log.warn({ uid: scope.uid, reason, err: messageOf(error) }, "an event could not be recorded");
  }
}

/** This pod's sandboxes, by a look that begins now. */
export async function look(scope: PodScope, desired: DesiredPod): Promise<readonly ObservedSandbox[]> {
  const seen = await driverOf(scope, desired).list((id) => isOfPod(id, scope.uid));
  return seen.filter(({ pod }) => pod.uid === scope.uid);
}
