/** From requests and limits to cgroup numbers (k8s.io/kubernetes/pkg/kubelet/cm/helpers_linux.go, qos/policy.go). */
import type { Container, Pod } from "../../manifest/index.ts";
import { containersNeed, wholeResources } from "../../manifest/pod-resources.ts";
import { parseBytes, parseMilliCpu } from "../../manifest/quantity.ts"; // not through the index: the CLI would load every schema
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

type Amounts = Readonly<Record<string, string>>;

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
  readonly requests?: Amounts | undefined;
  readonly limits?: Amounts | undefined;
}): Asked {
  return {
    cpuRequest: parseMilliCpu(requests?.["cpu"] ?? "0") ?? 0,
    cpuLimit: parseMilliCpu(limits?.["cpu"] ?? "0") ?? 0,
    memoryRequest: parseBytes(requests?.["memory"] ?? "0") ?? 0,
    memoryLimit: parseBytes(limits?.["memory"] ?? "0") ?? 0,
  };
}

/** Where a container has no limit, that of the pod holds for it, too. */
export function containerResources(pod: Pod, container: Container, nodeMemoryBytes: number): ContainerResources {
  const whole = wholeResources(pod);
  const limits = { ...whole?.limits, ...container.resources.limits };
  const own = asked({ requests: container.resources.requests, limits });
  const share = whole === undefined ? 0 : unclaimedMemory(pod, asked(whole).memoryRequest);
  return { ...numbers(own), oomScoreAdj: oomScoreAdj(qosClassOf(pod), own.memoryRequest + share, nodeMemoryBytes) };
}

/** What the pod requests beyond its containers is shared among them evenly (pkg/kubelet/qos/policy.go). */
function unclaimedMemory(pod: Pod, requestBytes: number): number {
  const left = requestBytes - containersNeed(pod, "memory", "requests");
  return Math.max(0, left) / ((pod.spec.initContainers ?? []).length + pod.spec.containers.length);
}

/**
 * The pod's own cgroup: what it asks for as a whole, else what its containers ask for together; a limit only where
 * every one of them has one. Its overhead comes on top.
 */
export function podResources(pod: Pod): ContainerResources {
  const own = wholeResources(pod);
  const whole = asked(own ?? {});
  const need = asked(togetherOf(pod));
  const all = [...(pod.spec.initContainers ?? []), ...pod.spec.containers].map(({ resources }) => asked(resources));
  const limit = (field: "cpuLimit" | "memoryLimit"): number =>
    whole[field] || (all.every((one) => one[field] > 0) ? need[field] : 0);
  const overhead = asked({ requests: pod.spec.overhead });
  const more = (amount: number, extra: number): number => (amount > 0 ? amount + extra : 0);
  return numbers({
    cpuRequest: (own === undefined ? need : whole).cpuRequest + overhead.cpuRequest,
    memoryRequest: (own === undefined ? need : whole).memoryRequest + overhead.memoryRequest,
    cpuLimit: more(limit("cpuLimit"), overhead.cpuRequest),
    memoryLimit: more(limit("memoryLimit"), overhead.memoryRequest),
  });
}

function togetherOf(pod: Pod): { readonly requests: Amounts; readonly limits: Amounts } {
  const of = (which: "requests" | "limits"): Amounts => ({
    cpu: `${containersNeed(pod, "cpu", which)}`,
    memory: `${containersNeed(pod, "memory", which)}`,
  });
  return { requests: of("requests"), limits: of("limits") };
}

/** What a virtual machine for this pod has to have room for. */
export function podDemand(pod: Pod): PodDemand {
  const all = containersOf(pod);
  const each = [...all.together, ...all.alone];
  const memory = ({ memoryLimit, memoryRequest }: Asked): number => memoryLimit || memoryRequest;
  const cpu = ({ cpuLimit, cpuRequest }: Asked): number => cpuLimit || cpuRequest;
  const whole = asked(wholeResources(pod) ?? {});
  const room = (limit: number, request: number, need: (one: Asked) => number) => ({
    amount: limit || Math.max(request, most(all, need)),
    open: limit === 0 && request === 0 && each.some((one) => need(one) === 0),
  });
  const bytes = room(whole.memoryLimit, whole.memoryRequest, memory);
  const milli = room(whole.cpuLimit, whole.cpuRequest, cpu);
  return {
    memory: {
      bytes: bytes.amount,
      open: bytes.open,
      ...(whole.memoryLimit > 0 ? { limitBytes: whole.memoryLimit } : {}),
    },
    cpu: { milli: milli.amount, open: milli.open },
  };
}

/** What the pod requests of a resource, in bytes; with its overhead. */
export function podRequestBytes(pod: Pod, resource: "memory" | "ephemeral-storage"): number {
  const bytes = (text: string | undefined): number => parseBytes(text ?? "0") ?? 0;
  const whole = wholeResources(pod)?.requests[resource];
  const own = whole === undefined ? containersNeed(pod, resource, "requests") : bytes(whole);
  return own + bytes(pod.spec.overhead?.[resource]);
}

/** What the pod's containers may have of a resource together; undefined when none of them has a limit. */
export function podLimitBytes(pod: Pod, resource: string): number | undefined {
  const all = [...(pod.spec.initContainers ?? []), ...pod.spec.containers];
  if (!all.some(({ resources }) => resources.limits?.[resource] !== undefined)) return undefined;
  return Math.ceil(containersNeed(pod, resource, "limits"));
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
