/** What confines containers and belongs to the host: seccomp profiles in files, AppArmor, SELinux. */
import { type AppArmorHost, findAppArmor } from "./app-armor.ts";
import type { Confinement, Confiner } from "./contract.ts";
import { appArmorHost, seLinuxHost } from "./host.ts";
import { findSeLinux, type SeLinuxHost } from "./se-linux.ts";
import { readSeccompProfile } from "./seccomp-folder.ts";

export type { Confinement, ConfinementWish, Confiner } from "./contract.ts";
export { appArmorHost, seLinuxMode } from "./host.ts";
export { readSeccompProfile } from "./seccomp-folder.ts";

export interface ConfinerOptions {
  /** Folder of the seccomp profiles; need not be there. */
  readonly seccompProfiles: string;
  /** Default: this host's. */
  readonly appArmor?: AppArmorHost;
  readonly seLinux?: SeLinuxHost;
}

export function createConfiner(options: ConfinerOptions): Confiner {
  const { seccompProfiles, appArmor = appArmorHost, seLinux = seLinuxHost } = options;
  return {
    async find(wish, signal): Promise<Confinement> {
      return {
        ...(wish.seccomp === undefined ? {} : { seccomp: await readSeccompProfile(seccompProfiles, wish.seccomp) }),
        ...(wish.appArmor === undefined ? {} : { appArmor: await findAppArmor(wish.appArmor, appArmor, signal) }),
        ...(wish.seLinux === undefined ? {} : { seLinux: await findSeLinux(wish.seLinux, seLinux) }),
      };
    },
  };
}
