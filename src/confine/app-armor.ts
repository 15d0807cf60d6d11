import { GantryError, isGantryError, messageOf } from "../system/errors.ts";
import type { ConfinementWish } from "./contract.ts";

/** What `RuntimeDefault` stands for; loaded when it is first asked for. */
export const DEFAULT_PROFILE = "gantry-default";

/** AppArmor as the kernel shows it. */
export interface AppArmorHost {
  /** Whether it is compiled in and turned on. */
  enabled(): Promise<boolean>;
  /** The text of the list of profiles that the kernel has: "name (mode)" in each line. */
  profiles(): Promise<string>;
  /** Gives a profile to the kernel. @throws Error, GantryError command-missing */
  load(profile: string, signal: AbortSignal): Promise<void>;
}

/**
 * The name of the profile that a container is to have. The messages begin as the kubelet's do.
 * @throws GantryError host-unsupported without AppArmor, config-missing for a profile that is not loaded
 */
export async function findAppArmor(
  wish: NonNullable<ConfinementWish["appArmor"]>,
  host: AppArmorHost,
  signal: AbortSignal,
): Promise<string> {
  if (!(await host.enabled())) {
    throw new GantryError("host-unsupported", "Cannot enforce AppArmor: AppArmor is not enabled on the host", {
      hint: "Set appArmorProfile.type: Unconfined or leave it out; or boot the host with apparmor=1 security=apparmor.",
    });
  }
  const loaded = loadedProfiles(await host.profiles());
  if (wish.type === "RuntimeDefault") {
    if (!loaded.has(DEFAULT_PROFILE)) await loadDefault(host, signal);
    return DEFAULT_PROFILE;
  }
  if (loaded.has(wish.name)) return wish.name;
  throw new GantryError("config-missing", `Cannot enforce AppArmor: the profile "${wish.name}" is not loaded`, {
    hint: "Load it: apparmor_parser -r FILE; 'aa-status' lists the profiles that are.",
  });
}

async function loadDefault(host: AppArmorHost, signal: AbortSignal): Promise<void> {
  try {
    await host.load(DEFAULT_TEXT, signal);
  } catch (cause) {
    if (isGantryError(cause, "cancelled")) throw cause;
    throw new GantryError(
      "host-unsupported",
      `Cannot enforce AppArmor: the profile "${DEFAULT_PROFILE}" can't be loaded: ${messageOf(cause)}`,
      { hint: "apparmor_parser loads it: apt-get install apparmor.", cause },
    );
  }
}

/** "name (mode)" or, of another namespace, ":ns://name (mode)": that is part of the name, as in Kubernetes. */
export function loadedProfiles(list: string): Set<string> {
  return new Set(list.split("\n").flatMap((line) => /^(.+?) \(\w+\)$/.exec(line.trim())?.[1] ?? []));
}

/**
 * Files, network and capabilities are for the other means to say; this adds what those let through: nothing is
 * mounted, the host's policy and its kernel's settings are left alone, and signals and tracing stay inside.
 */
export const DEFAULT_TEXT = `
#include <tunables/global>

profile ${DEFAULT_PROFILE} flags=(attach_disconnected,mediate_deleted) {
  #include <abstractions/base>

  capability,
  file,
  network,
  umount,
  deny mount,

  signal (receive) peer=unconfined,
  signal (receive) peer=crun,
  signal (receive) peer=runc,
  signal (send,receive) peer=${DEFAULT_PROFILE},
  ptrace (trace,read,tracedby,readby) peer=${DEFAULT_PROFILE},

  deny @{PROC}/kcore rwklx,
  deny @{PROC}/sysrq-trigger rwklx,
  deny @{PROC}/{acpi,bus,fs,irq,scsi}/** wklx,
  deny @{PROC}/sys/{abi,debug,dev,fs/binfmt_misc,user,vm}/** wklx,
  deny @{PROC}/sys/kernel/{core_pattern,modprobe,poweroff_cmd,sysrq,unprivileged_*} wklx,
  deny /sys/firmware/** rwklx,
  deny /sys/devices/virtual/powercap/** rwklx,
  deny /sys/kernel/{debug,security,tracing}/** rwklx,
  deny /sys/{block,bus,class,dev,devices,hypervisor,module,power}/** wklx,
}
`;
