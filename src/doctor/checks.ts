import type { Check } from "./check.ts";
import { checkApi } from "./check-api.ts";
import { checkCgroups, checkRuntimes } from "./check-cgroups.ts";
import { checkConfinement } from "./check-confinement.ts";
import { checkKernel } from "./check-kernel.ts";
import { checkMicrovm } from "./check-microvm.ts";
import { checkDaemon, checkNetwork } from "./check-network.ts";
import { checkDisks, checkLimits, checkPrivileges, checkTime } from "./check-process.ts";
import { checkTools } from "./check-tools.ts";
import type { HostFacts } from "./facts.ts";

const CHECKS: readonly ((facts: HostFacts) => Check[])[] = [
  checkPrivileges,
  checkKernel,
  checkConfinement,
  checkCgroups,
  checkRuntimes,
  checkTools,
  checkNetwork,
  checkLimits,
  checkDisks,
  checkTime,
  checkMicrovm,
  checkDaemon,
  checkApi,
];

/** Judges a host. Pure. */
export function judge(facts: HostFacts): Check[] {
  return CHECKS.flatMap((check) => check(facts));
}
