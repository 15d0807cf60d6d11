import type { ContainerResources } from "../../driver.ts";
import type { OciResources } from "./types.ts";

export interface CgroupFeatures {
  /** Every controller is in the v2 tree. */
  readonly unified: boolean;
  /** Swap can be limited too; where it can't, the limit on memory alone has to do. */
  readonly swapLimit: boolean;
}

/** Limits of one container. No swap beyond the memory limit, as Kubernetes has it by default. */
export function containerResources(
  resources: ContainerResources,
  privileged: boolean,
  features: CgroupFeatures,
): OciResources {
  const { cpuShares, cpuQuotaUs, cpuPeriodUs, memoryLimitBytes, pidsLimit } = resources;
  const cpu = {
    ...(cpuShares === undefined ? {} : { shares: cpuShares }),
    ...(cpuQuotaUs === undefined ? {} : { quota: cpuQuotaUs, period: cpuPeriodUs ?? 100_000 }),
  };
  return {
    // The runtimes themselves add /dev/null and its like.
    devices: [{ allow: privileged, access: "rwm" }],
    ...(Object.keys(cpu).length === 0 ? {} : { cpu }),
    ...(pidsLimit === undefined ? {} : { pids: { limit: pidsLimit } }),
    ...(memoryLimitBytes === undefined
      ? {}
      : { memory: { limit: memoryLimitBytes, ...(features.swapLimit ? { swap: memoryLimitBytes } : {}) } }),
    // One process of an app killed and the rest left half alive serves nobody.
    ...(features.unified && memoryLimitBytes !== undefined ? { unified: { "memory.oom.group": "1" } } : {}),
  };
}
