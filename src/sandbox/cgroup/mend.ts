/**
 * What others changed of a cgroup behind Gantry's back (`crun pause`, `crun update`, a file written by hand) is found
 * and put back. A few small reads a cgroup, so that it can be done with every comparison.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { errnoOf, messageOf } from "../../system/errors.ts";
import type { ContainerResources } from "../driver.ts";
import { isAbsent } from "../namespace/files.ts";
import type { CgroupHost } from "./host.ts";

/** The kernel rounds limits of memory down to whole pages, which have up to 64 KiB. */
const LARGEST_PAGE_BYTES = 65_536;
/** v1 has no word for "no limit": the largest number of pages there can be. */
const V1_UNLIMITED = "9223372036854771712";

/** One file that says a limit. */
export interface LimitFile {
  readonly what: string;
  readonly controller: string;
  readonly file: string;
  /** As it is read. */
  readonly value: string;
  /** As it is written. */
  readonly text: string;
}

/**
 * What the files of a cgroup say with these resources. Weights of containers are left out on v2: how the OCI runtimes
 * convert them changes from one version to the next. Pure.
 * @param isWhole limits that are not set count, too: nobody else may have set one
 */
export function limitFiles(
  resources: ContainerResources,
  { unified, swapLimit }: Pick<CgroupHost, "unified" | "swapLimit">,
  isWhole: boolean,
): LimitFile[] {
  const { cpuShares, cpuQuotaUs, cpuPeriodUs = 100_000, memoryLimitBytes, pidsLimit } = resources;
  const file = (what: string, controller: string, name: string, value: number | undefined, none: [string, string]) => {
    if (value === undefined && !isWhole) return [];
    const [read, written] = value === undefined ? none : [String(value), String(value)];
    return [{ what, controller, file: name, value: read, text: written }];
  };
  const max: [string, string] = ["max", "max"];
  const pids = file("limit of processes", "pids", "pids.max", pidsLimit, max);
  if (unified) {
    const quota = `${cpuQuotaUs ?? "max"} ${cpuQuotaUs === undefined ? 100_000 : cpuPeriodUs}`;
    const cpu = { what: "CPU limit", controller: "cpu", file: "cpu.max", value: quota, text: quota };
    return [
      ...file("memory limit", "memory", "memory.max", memoryLimitBytes, max),
      ...(cpuQuotaUs === undefined && !isWhole ? [] : [cpu]),
      ...pids,
    ];
  }
  const none: [string, string] = [V1_UNLIMITED, "-1"];
  return [
    ...file("memory limit", "memory", "memory.limit_in_bytes", memoryLimitBytes, none),
    ...(swapLimit && isWhole
      ? file("limit of memory and swap", "memory", "memory.memsw.limit_in_bytes", memoryLimitBytes, none)
      : []),
    ...(cpuQuotaUs === undefined ? [] : file("CPU period", "cpu", "cpu.cfs_period_us", cpuPeriodUs, none)),
    ...file("CPU limit", "cpu", "cpu.cfs_quota_us", cpuQuotaUs, ["-1", "-1"]),
    ...(cpuShares === undefined ? [] : file("CPU weight", "cpu", "cpu.shares", cpuShares, none)),
    ...pids,
  ];
}

/** Puts limits back that are not as they should be. @returns a clause for each, such as "the memory limit of …" */
export function mendLimits(host: CgroupHost, path: string, files: readonly LimitFile[]): string[] {
  const found = files.flatMap((limit) => {
    const root = host.controller(limit.controller);
    const at = root === undefined ? undefined : join(root, path, limit.file);
    const now = at === undefined ? undefined : readOr(at);
    return at === undefined || now === undefined || isSame(limit, now) ? [] : [{ ...limit, at, now }];
  });
  if (found.length === 0) return [];
  // Memory alone may never have more than memory and swap: whichever way it goes, the second round fits.
  const failures = new Map<string, unknown>();
  for (const _round of [1, 2]) {
    for (const { at, text } of found) {
      try {
        writeFileSync(at, text);
        failures.delete(at);
      } catch (error) {
        failures.set(at, error);
      }
    }
  }
  return found.map(({ what, at, now, value }) => {
    const failed = failures.get(at);
    const end = failed === undefined ? "it was put back" : `it can't be put back now (${messageOf(failed)})`;
    return `the ${what} was changed by hand from ${shown(value)} to ${shown(now)}; ${end}`;
  });
}

/** Lets a cgroup go on that was frozen itself; one that is frozen with those above it, or below it, is left alone. */
export function mendFreeze(host: CgroupHost, path: string): boolean {
  const root = host.controller("freezer");
  if (root === undefined) return false;
  const [asked, file, thawed] = host.unified
    ? (["cgroup.freeze", "cgroup.freeze", "0"] as const)
    : (["freezer.self_freezing", "freezer.state", "THAWED"] as const);
  if (readOr(join(root, path, asked)) !== "1") return false;
  try {
    writeFileSync(join(root, path, file), thawed);
    return true;
  } catch (error) {
    if (isAbsent(error) || errnoOf(error) === "ENODEV") return false;
    throw error;
  }
}

function isSame({ controller, value }: LimitFile, now: string): boolean {
  if (value === now || controller !== "memory") return value === now;
  return Math.abs(Number(value) - Number(now)) < LARGEST_PAGE_BYTES; // NaN for "max"
}

function shown(value: string): string {
  return value === V1_UNLIMITED || value === "-1" || value.startsWith("max") ? "none" : value;
}

/** Undefined where it is gone, or this kernel does not have it. */
function readOr(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8").trim();
  } catch (error) {
    if (isAbsent(error) || errnoOf(error) === "ENODEV" || errnoOf(error) === "EOPNOTSUPP") return undefined;
    throw error;
  }
}
