import { ALL_CAPABILITIES, capabilityName } from "../../../system/capabilities.ts";
import { GantryError } from "../../../system/errors.ts";
import type { ContainerSecurity } from "../../driver.ts";
import type { OciCapabilities } from "./types.ts";

export { ALL_CAPABILITIES };

/** What a container has when its manifest says nothing: the 14 that Docker, containerd and CRI-O agree on. */
export const DEFAULT_CAPABILITIES: readonly string[] =
  "CHOWN DAC_OVERRIDE FSETID FOWNER MKNOD NET_RAW SETGID SETUID SETFCAP SETPCAP NET_BIND_SERVICE SYS_CHROOT KILL AUDIT_WRITE"
    .split(" ")
    .map((name) => `CAP_${name}`);

/**
 * The capabilities that a container may have, in the order of their numbers. drop comes first, then add (as CRI
 * says); "ALL" means every one that this host grants.
 * @param available the daemon's own bounding set: nothing beyond it can be given away
 * @throws GantryError `unsupported` for a name that does not exist or that the host does not grant
 */
export function effectiveCapabilities(security: ContainerSecurity, available: ReadonlySet<string>): string[] {
  if (security.privileged) return ALL_CAPABILITIES.filter((name) => available.has(name));
  const drop = security.capabilities.drop.map(normalise);
  const add = security.capabilities.add.map(normalise);
  const wanted = new Set(drop.includes("ALL") ? [] : DEFAULT_CAPABILITIES.filter((name) => !drop.includes(name)));
  if (add.includes("ALL")) for (const name of ALL_CAPABILITIES) if (!drop.includes(name)) wanted.add(name);
  for (const name of add) {
    if (name === "ALL") continue;
    if (!available.has(name)) {
      throw new GantryError("unsupported", `this host cannot grant the capability ${name.slice(4)}`, {
        hint: "Gantry itself runs without it; remove it from securityContext.capabilities.add.",
      });
    }
    wanted.add(name);
  }
  return ALL_CAPABILITIES.filter((name) => wanted.has(name) && available.has(name));
}

/**
 * The sets for the app's process. A user other than root gets them only in the bounding set: the kernel clears the
 * rest at execve anyway, and no ambient set means that Kubernetes' rule "added capabilities need root" holds.
 */
export function capabilitySets(names: readonly string[], uid: number): OciCapabilities {
  const granted = uid === 0 ? names : [];
  return { bounding: names, effective: granted, permitted: granted };
}

/** The names in a mask as /proc/PID/status has it, e.g. CapBnd. */
export function capabilitiesOfMask(mask: bigint): Set<string> {
  return new Set(ALL_CAPABILITIES.filter((_, bit) => (mask >> BigInt(bit)) & 1n));
}

function normalise(name: string): string {
  const full = capabilityName(name);
  if (full !== undefined) return full;
  throw new GantryError("unsupported", `"${name}" is not a capability`, {
    hint: "Names are those of capabilities(7) without CAP_, such as NET_ADMIN, or ALL.",
  });
}
