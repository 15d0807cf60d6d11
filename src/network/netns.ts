import { statfs } from "node:fs/promises";
import { z } from "zod";
import { isGantryError } from "../system/errors.ts";
import type { Exec } from "./plugin.ts";

/** linux/magic.h */
const NSFS_MAGIC = 0x6e736673;

/** True for a live, pinned namespace; false for what is left of one: a plain file, or nothing. */
export async function isNetns(path: string): Promise<boolean> {
  return statfs(path).then(
    (stat) => stat.type === NSFS_MAGIC,
    () => false,
  );
}

const addressesSchema = z.array(
  z.object({ addr_info: z.array(z.object({ local: z.string().optional() })).optional() }),
);

/** True when the interface inside has all of `ips`. */
export async function hasAddresses(
  exec: Exec,
  netns: string,
  interfaceName: string,
  ips: readonly string[],
  signal: AbortSignal,
): Promise<boolean> {
  if (!(await isNetns(netns))) return false;
  const found = await exec("nsenter", [`--net=${netns}`, "ip", "-j", "address", "show", "dev", interfaceName], {
    signal,
    okCodes: "any",
  }).catch((error: unknown) => {
    if (isGantryError(error, "command-failed")) return undefined;
    throw error;
  });
  if (found?.exitCode !== 0) return false;
  const parsed = addressesSchema.safeParse(JSON.parse(found.stdout.trim() || "[]"));
  const present = new Set(parsed.data?.flatMap((link) => link.addr_info ?? []).map((address) => address.local));
  return ips.every((ip) => present.has(ip));
}
