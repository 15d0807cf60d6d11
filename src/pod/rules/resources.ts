/** From requests and limits to cgroup numbers (k8s.io/kubernetes/pkg/kubelet/cm/helpers_linux.go, qos/policy.go). */
import { type Container, type Pod, parseBytes, parseMilliCpu } from "../../manifest/index.ts";
import type { ContainerResources, PodDemand } from "../../sandbox/driver.ts";
import { type QosClass, qosClassOf } from "./qos.ts";

const PERIOD_US = 100_000;
const MIN_QUOTA_US = 1000;
const MIN_SHARES = 2;
const MAX_SHARES = 262_144;

/** A request of m thousandths of a core weighs m × 1024 / 1000. */
export function cpuShares(milli: number): number {
  return Math.min(MAX_SHARES, Math.max(MIN_SHARES, Math.floor((milli * 1024) / 1000)));
}

/** A limit of m thousandths of a core is m × 100 µs in every 100 ms, at least 1 ms. */
export function cpuQuota(milli: number): number {
  return Math.max(MIN_QUOTA_US, milli * (PERIOD_US / 1000));
}

/** Whom the kernel kills first when memory runs out. */
export function oomScoreAdj(qos: QosClass, memoryRequestBytes: number, nodeMemoryBytes: number): number {
  switch (qos) {
    case "Guaranteed":
      return -997;
    case "BestEffort":
      return 1000;
    case "Burstable": {
      const score = 1000 - Math.floor((1000 * memoryRequestBytes) / Math.max(1, nodeMemoryBytes));
      return Math.min(999, Math.max(3, score));
    }
  }
}

interface Asked {
  readonly cpuRequest: number;
  readonly cpuLimit: number;
  readonly memoryRequest: number;
  readonly memoryLimit: number;
}

function asked({
  requests,
  limits,
}: {
  readonly requests?: Readonly<Record<string, string>> | undefined;
  readonly limits?: Readonly<Record<string, string>> | undefined;
}): Asked {
  return {
    cpuRequest: parseMilliCpu(requests?.["cpu"] ?? "0") ?? 0,
    cpuLimit: parseMilliCpu(limits?.["cpu"] ?? "0") ?? 0,
    memoryRequest: parseBytes(requests?.["memory"] ?? "0") ?? 0,
    memoryLimit: parseBytes(limits?.["memory"] ?? "0") ?? 0,
  };
}

export function containerResources(pod: Pod, container: Container, nodeMemoryBytes: number): ContainerResources {
  const { memoryRequest, ...rest } = asked(container.resources);
  return {
    ...numbers({ ...rest, memoryRequest }),
    oomScoreAdj: oomScoreAdj(qosClassOf(pod), memoryRequest, nodeMemoryBytes),
  };
}

/** The pod's own cgroup: what its containers ask for together; a limit only where every one of them has one. */
export function podResources(pod: Pod): ContainerResources {
  if (pod.spec.resources !== undefined && (pod.spec.resources.limits ?? pod.spec.resources.requests) !== undefined) {
    return numbers(asked(pod.spec.resources));
  }
  const { together, alone } = containersOf(pod);
  const need = (field: keyof Asked): number => most({ together, alone }, (one) => one[field]);
  const limit = (field: "cpuLimit" | "memoryLimit"): number =>
    [...together, ...alone].every((one) => one[field] > 0) ? need(field) : 0;
  return numbers({
    cpuRequest: need("cpuRequest"),
    memoryRequest: need("memoryRequest"),
    cpuLimit: limit("cpuLimit"),
    memoryLimit: limit("memoryLimit"),
  });
}

/** What a virtual machine for this pod has to have room for. */
export function podDemand(pod: Pod): PodDemand {
  const all = containersOf(pod);
  const each = [...all.together, ...all.alone];
  const memory = ({ memoryLimit, memoryRequest }: Asked): number => memoryLimit || memoryRequest;
  const cpu = ({ cpuLimit, cpuRequest }: Asked): number => cpuLimit || cpuRequest;
  return {
    memory: { bytes: most(all, memory), open: each.some((one) => memory(one) === 0) },
    cpu: { milli: most(all, cpu), open: each.some((one) => cpu(one) === 0) },
  };
}

interface Running {
  /** Those that run side by side. */
  readonly together: readonly Asked[];
  /** Init containers: one at a time, before the others. */
  readonly alone: readonly Asked[];
}

function containersOf({ spec }: Pod): Running {
  const init = spec.initContainers ?? [];
  const isSidecar = ({ restartPolicy }: Container): boolean => restartPolicy === "Always";
  return {
    together: [...init.filter(isSidecar), ...spec.containers].map(({ resources }) => asked(resources)),
    alone: init.filter((container) => !isSidecar(container)).map(({ resources }) => asked(resources)),
  };
}

/** What is needed at any time: of init containers the hungriest counts, not their sum. */
function most({ together, alone }: Running, need: (one: Asked) => number): number {
  return Math.max(sum(together.map(need)), ...alone.map(need));
}

function numbers({ cpuRequest, cpuLimit, memoryLimit }: Asked): ContainerResources {
  return {
    cpuShares: cpuShares(cpuRequest),
    ...(cpuLimit > 0 ? { cpuQuotaUs: cpuQuota(cpuLimit), cpuPeriodUs: PERIOD_US } : {}),
    ...(memoryLimit > 0 ? { memoryLimitBytes: memoryLimit } : {}),
  };
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
