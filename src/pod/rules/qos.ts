/** The quality of service class (k8s.io/kubernetes/pkg/apis/core/v1/helper/qos). */
import type { Container, Pod } from "../../manifest/index.ts";
import { parseQuantity } from "../../manifest/quantity.ts"; // not through the index: the CLI would load every schema

export type QosClass = "Guaranteed" | "Burstable" | "BestEffort";
const COUNTED = ["cpu", "memory"] as const;

/** Guaranteed: every container limits cpu and memory and requests just that. BestEffort: none asks for anything. */
export function qosClassOf(pod: Pod): QosClass {
  const containers = [...(pod.spec.initContainers ?? []), ...pod.spec.containers];
  if (!containers.some(asks)) return "BestEffort";
  return containers.every(isGuaranteed) ? "Guaranteed" : "Burstable";
}

function quantity(from: Readonly<Record<string, string>> | undefined, name: string): number {
  return parseQuantity(from?.[name] ?? "0") ?? 0;
}

function asks({ resources }: Container): boolean {
  return COUNTED.some((name) => quantity(resources.requests, name) > 0 || quantity(resources.limits, name) > 0);
}

function isGuaranteed({ resources }: Container): boolean {
  return COUNTED.every((name) => {
    const limit = quantity(resources.limits, name);
    return limit > 0 && quantity(resources.requests, name) === limit;
  });
}
