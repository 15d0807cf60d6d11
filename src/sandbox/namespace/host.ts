import { readFileSync } from "node:fs";
import { capabilitiesOfMask } from "./oci/capabilities.ts";
import type { OciRlimit } from "./oci/types.ts";

/** What this process may do, and so hand on to the apps it starts. */
export interface HostFacts {
  readonly capabilities: ReadonlySet<string>;
  /** Our own oom_score_adj; without CAP_SYS_RESOURCE no app can have a lower one. */
  readonly oomScoreAdj: number;
  readonly rlimits: readonly OciRlimit[];
}

/** As many open files as may be had, up to what Docker gives. Never above our own hard limit: that would be EPERM. */
const MAX_OPEN_FILES = 1_048_576;

export function hostFacts(): HostFacts {
  const status = readFileSync("/proc/self/status", "utf8");
  const mask = /^CapPrm:\s*([0-9a-f]+)$/m.exec(status)?.[1] ?? "0";
  const limits = readFileSync("/proc/self/limits", "utf8");
  const hard = /^Max open files\s+\S+\s+(\d+|unlimited)/m.exec(limits)?.[1] ?? "1024";
  const files = hard === "unlimited" ? MAX_OPEN_FILES : Math.min(Number(hard), MAX_OPEN_FILES);
  return {
    capabilities: capabilitiesOfMask(BigInt(`0x${mask}`)),
    oomScoreAdj: Number(readFileSync("/proc/self/oom_score_adj", "utf8")),
    rlimits: [{ type: "RLIMIT_NOFILE", soft: files, hard: files }],
  };
}

/** The wanted oom_score_adj, or the lowest that we may give. Undefined: leave it as it is. */
export function allowedOomScoreAdj(wanted: number | undefined, host: HostFacts): number | undefined {
  if (wanted === undefined || wanted >= host.oomScoreAdj || host.capabilities.has("CAP_SYS_RESOURCE")) return wanted;
  return host.oomScoreAdj;
}
