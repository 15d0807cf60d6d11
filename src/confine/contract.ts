import type { SeLinuxLabels } from "../sandbox/driver.ts";
import type { SeccompProfile } from "./seccomp-profile.ts";

/** What a container is to be confined by that only the host has. */
export interface ConfinementWish {
  /** Path of a seccomp profile below the folder for them. */
  readonly seccomp?: string;
  readonly appArmor?: { readonly type: "RuntimeDefault" } | { readonly type: "Localhost"; readonly name: string };
  readonly seLinux?: SeLinuxWish;
}

/** Parts of an SELinux label; what is absent is as the host's policy has it for containers. */
export interface SeLinuxWish {
  readonly user?: string;
  readonly role?: string;
  readonly type?: string;
  readonly level?: string;
}

/** The same, found on the host. */
export interface Confinement {
  readonly seccomp?: SeccompProfile;
  /** The name of a profile. */
  readonly appArmor?: string;
  readonly seLinux?: SeLinuxLabels;
}

/** The security modules and profiles of the host. */
export interface Confiner {
  /**
   * @throws GantryError config-missing (no such profile), invalid-config (it is damaged), host-unsupported (the host has
   * no AppArmor or no SELinux)
   */
  find(wish: ConfinementWish, signal: AbortSignal): Promise<Confinement>;
}
