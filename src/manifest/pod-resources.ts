/** What a pod asks for as a whole, said or summed up. Pure. */
import { parseQuantity } from "./quantity.ts";
import type { Container, Pod } from "./schema/index.ts";

type Amounts = Readonly<Record<string, string>>;

/**
 * Resources of the pod as a whole, undefined when it says nothing of them. A request that is left out is what the
 * containers request together, else the limit (k8s.io/kubernetes/pkg/apis/core/v1, defaultPodRequests).
 */
export function wholeResources(pod: Pod): { readonly requests: Amounts; readonly limits: Amounts } | undefined {
  const { requests = {}, limits = {} } = pod.spec.resources ?? {};
  if (Object.keys({ ...requests, ...limits }).length === 0) return undefined;
  const together = {
    cpu: `${containersNeed(pod, "cpu", "requests")}`,
    memory: `${containersNeed(pod, "memory", "requests")}`,
  };
  const summed = Object.fromEntries(Object.entries(together).filter(([, amount]) => Number(amount) > 0));
  return { requests: { ...limits, ...summed, ...requests }, limits };
}

/**
 * What containers ask for together, in cores or bytes: those that run side by side in sum, of init containers, which
 * run one at a time, the hungriest.
 */
export function containersNeed({ spec }: Pod, resource: string, which: "requests" | "limits"): number {
  const need = ({ resources }: Container): number => quantity(resources[which], resource);
  const init = spec.initContainers ?? [];
  const isSidecar = ({ restartPolicy }: Container): boolean => restartPolicy === "Always";
  const together = [...init.filter(isSidecar), ...spec.containers].reduce((sum, one) => sum + need(one), 0);
  return Math.max(together, ...init.filter((one) => !isSidecar(one)).map(need));
}

function quantity(from: Amounts | undefined, name: string): number {
  return parseQuantity(from?.[name] ?? "0") ?? 0;
}
