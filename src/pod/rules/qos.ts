/** The quality of service class (k8s.io/kubernetes/pkg/apis/core/v1/helper/qos). */
import type { Container, Pod } from "../../manifest/index.ts";
import { wholeResources } from "../../manifest/pod-resources.ts";
import { parseQuantity } from "../../manifest/quantity.ts"; // not through the index: the CLI would load every schema

export type QosClass = "Guaranteed" | "Burstable" | "BestEffort";
const COUNTED = ["cpu", "memory"] as const;

/**
 * Guaranteed: every container limits cpu and memory and requests just that. BestEffort: none asks for anything. What
 * is said of the pod as a whole counts alone.
 */
export function qosClassOf(pod: Pod): QosClass {
  const whole = wholeResources(pod);
  const askers =
    whole === undefined ? [...(pod.spec.initContainers ?? []), ...pod.spec.containers] : [{ resources: whole }];
  if (!askers.some(asks)) return "BestEffort";
  return askers.every(isGuaranteed) ? "Guaranteed" : "Burstable";
}

type Asker = Pick<Container, "resources">;
type Amounts = Readonly<Record<string, string>>;

function quantity(from: Amounts | undefined, name: string): number {
  return parseQuantity(from?.[name] ?? "0") ?? 0;
}

function asks({ resources }: Asker): boolean {
  return COUNTED.some((name) => quantity(resources.requests, name) > 0 || quantity(resources.limits, name) > 0);
}

function isGuaranteed({ resources }: Asker): boolean {
  return COUNTED.every((name) => {
    const limit = quantity(resources.limits, name);
    return limit > 0 && quantity(resources.requests, name) === limit;
  });
}
