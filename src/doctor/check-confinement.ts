import { type Check, ok, warn } from "./check.ts";
import type { HostFacts } from "./facts.ts";

/** How many damaged profiles are told of. */
const TOLD = 3;

/** AppArmor, SELinux and seccomp profiles of the host's. Most hosts have one of the first two; pods run with neither. */
export function checkConfinement({ confinement }: HostFacts): Check[] {
  return [checkAppArmor(confinement), checkSeLinux(confinement), ...checkProfiles(confinement)];
}

type Facts = HostFacts["confinement"];

function checkAppArmor({ appArmor }: Facts): Check {
  switch (appArmor) {
    case "enabled":
      return ok("AppArmor", "enabled");
    case "absent":
      return ok("AppArmor", "not enabled: pods with an appArmorProfile other than Unconfined don't start");
    case "no-parser":
      return warn(
        "AppArmor",
        "enabled, but apparmor_parser is missing: appArmorProfile RuntimeDefault can't be loaded",
        "apt-get install apparmor",
      );
  }
}

function checkSeLinux({ seLinux }: Facts): Check {
  return seLinux === "absent"
    ? ok("SELinux", "not enabled: pods with seLinuxOptions don't start")
    : ok("SELinux", `enabled, ${seLinux}`);
}

/** Nothing where there are none. */
function checkProfiles({ seccompProfiles: { folder, sound, damaged } }: Facts): Check[] {
  if (damaged.length > 0) {
    const told = damaged.slice(0, TOLD).map(({ name, why }) => `${name} ${why}`);
    const more = damaged.length > TOLD ? ` (and ${damaged.length - TOLD} more)` : "";
    return [warn("seccomp profiles", `${folder}: ${told.join("; ")}${more}`, "Correct them, or move them away.")];
  }
  return sound.length === 0 ? [] : [ok("seccomp profiles", `${folder}: ${sound.join(", ")}`)];
}
