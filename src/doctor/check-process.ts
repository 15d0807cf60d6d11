import { type Check, fail, ok, warn } from "./check.ts";
import type { HostFacts, LimitFacts } from "./facts.ts";

/** Numbers from linux/capability.h. */
const REQUIRED = {
  CAP_CHOWN: 0,
  CAP_DAC_OVERRIDE: 1,
  CAP_FOWNER: 3,
  CAP_KILL: 5,
  CAP_SETGID: 6,
  CAP_SETUID: 7,
  CAP_NET_ADMIN: 12,
  CAP_SYS_CHROOT: 18,
  CAP_SYS_PTRACE: 19,
  CAP_SYS_ADMIN: 21,
  CAP_MKNOD: 27,
};
const CAP_SYS_RESOURCE = 24;

/** Root, and a root that may do what it takes. */
export function checkPrivileges({ uid, capabilities }: HostFacts): Check[] {
  if (uid !== 0)
    return [
      fail(
        "privileges",
        `runs as user ${uid}`,
        "Run the daemon as root (sudo gantry daemon); this check sees more as root, too.",
      ),
    ];
  const has = (bit: number): boolean => (capabilities & (1n << BigInt(bit))) !== 0n;
  const missing = Object.entries(REQUIRED).flatMap(([name, bit]) => (has(bit) ? [] : [name]));
  if (missing.length > 0) {
    return [
      fail(
        "privileges",
        `root without ${missing.join(", ")}`,
        "Start Gantry outside of a restricted container, or give that one these capabilities (--privileged).",
      ),
    ];
  }
  if (!has(CAP_SYS_RESOURCE)) {
    return [
      warn(
        "privileges",
        "root without CAP_SYS_RESOURCE: limits can't be raised nor oom_score_adj lowered; pods run with what there is",
        "Give the container or service that Gantry runs in CAP_SYS_RESOURCE.",
      ),
    ];
  }
  return [ok("privileges", "root with every capability that is needed")];
}

/** A daemon holds a few watches per manifest folder and per pod; 128 instances are the kernel's old default per user. */
const MIN_INSTANCES = 64;
const MIN_WATCHES = 8192;

export function checkLimits({ limits }: HostFacts): Check[] {
  return [checkInotify(limits), checkUserNamespaces(limits)];
}

function checkInotify({ inotifyInstances, inotifyWatches }: LimitFacts): Check {
  if (inotifyInstances === undefined || inotifyWatches === undefined)
    return fail("inotify", "the kernel has no inotify", "Use a kernel with CONFIG_INOTIFY_USER.");
  const found = `${inotifyInstances} instances, ${inotifyWatches} watches per user`;
  const low = [
    ...(inotifyInstances < MIN_INSTANCES ? ["fs.inotify.max_user_instances=512"] : []),
    ...(inotifyWatches < MIN_WATCHES ? ["fs.inotify.max_user_watches=65536"] : []),
  ];
  return low.length === 0 ? ok("inotify", found) : warn("inotify", `only ${found}`, `sysctl -w ${low.join(" ")}`);
}

function checkUserNamespaces({ userNamespaces }: LimitFacts): Check {
  if (userNamespaces === undefined)
    return warn(
      "user namespaces",
      "the kernel has none: pods with hostUsers: false are refused",
      "Use a kernel with CONFIG_USER_NS.",
    );
  if (userNamespaces === 0)
    return warn(
      "user namespaces",
      "turned off: pods with hostUsers: false are refused",
      "sysctl -w user.max_user_namespaces=15000",
    );
  return ok("user namespaces", `up to ${userNamespaces}`);
}

const MIN_FREE_BYTES = 2 ** 30;
const EXHAUSTED_BYTES = 64 * 2 ** 20;

export function checkDisks({ disks }: HostFacts): Check[] {
  return disks.map(({ use, path, freeBytes, freeInodes, totalInodes, writable }) => {
    const name = `disk for ${use}`;
    const found = `${path}: ${formatBytes(freeBytes)} free`;
    if (!writable)
      return fail(
        name,
        `${path} can't be written`,
        "Remount it read-write or correct its permissions, or use another place with --root DIR.",
      );
    if (freeBytes < EXHAUSTED_BYTES)
      return fail(
        name,
        found,
        "Free some space: 'gantry image ls' and 'gantry image rm', or move the root with --root DIR.",
      );
    if (totalInodes > 0 && freeInodes < 1000)
      return fail(
        name,
        `${path}: ${freeInodes} inodes free`,
        "Remove small files, or use a file system with more inodes.",
      );
    return freeBytes < MIN_FREE_BYTES
      ? warn(name, found, "Free some space: 'gantry image ls' and 'gantry image rm'.")
      : ok(name, found);
  });
}

export function formatBytes(bytes: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  const power = Math.min(units.length - 1, bytes < 1 ? 0 : Math.floor(Math.log2(bytes) / 10));
  const value = bytes / 2 ** (10 * power);
  return `${value < 10 && power > 0 ? value.toFixed(1) : Math.floor(value)} ${units[power]}`;
}

/** A clock that lies breaks TLS, CronJobs and every age that is shown. */
const EARLIEST = Date.UTC(2025, 0, 1);

export function checkTime({ now }: HostFacts): Check[] {
  const text = new Date(now).toISOString();
  if (now < EARLIEST)
    return [fail("time", `the clock says ${text}`, "Set it: 'timedatectl set-ntp true' or 'date -s …'.")];
  return [ok("time", text)];
}
