import { readFile } from "node:fs/promises";
import { errnoOf } from "../../system/errors.ts";
import type { SandboxConfig } from "../driver.ts";
import { hostsFile, resolvConf } from "../namespace/etc-files.ts";
import { pushFiles } from "./channel/push.ts";
import type { Context } from "./context.ts";
import type { GuestMount } from "./protocol/index.ts";

/** The volume with the files that every pod gets. No volume of a pod can have a name with a dot. */
export const ETC_VOLUME = "gantry.etc";
const FILES = { "/etc/hosts": "hosts", "/etc/resolv.conf": "resolv.conf", "/etc/hostname": "hostname" } as const;

/** Writes hosts, resolv.conf and hostname; in place, since containers may have these very files mounted already. */
export async function pushEtcFiles(
  ctx: Context,
  config: SandboxConfig,
  ips: readonly string[],
  signal: AbortSignal,
): Promise<void> {
  const resolv = resolvConf(config.dns, config.dns.policy === "host" ? await readHostFile("/etc/resolv.conf") : "");
  const texts = { hosts: hostsFile(config, ips), "resolv.conf": resolv, hostname: `${config.hostname}\n` };
  const { guest } = ctx.machines.get(config.id);
  await guest.request({ type: "volume", body: { name: ETC_VOLUME, source: { type: "files" }, mode: 0o755 } }, signal);
  const link = await guest.link(signal);
  const files = Object.entries(texts).map(([path, text]) => ({ path, mode: 0o644, data: Buffer.from(text) }));
  await guest.pushing(() => pushFiles(link, ETC_VOLUME, files, false));
}

/** Mounts of those files, but where one of the container's own volumes is to be. */
export function etcMounts(targets: ReadonlySet<string>): GuestMount[] {
  return Object.entries(FILES)
    .filter(([target]) => !targets.has(target))
    .map(([target, path]) => ({ target, volume: ETC_VOLUME, path, readOnly: false }));
}

/** A host need not have the file. */
async function readHostFile(path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return "";
    throw error;
  }
}
