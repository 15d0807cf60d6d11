/** AppArmor and SELinux of this host. */
import { readFile } from "node:fs/promises";
import { errnoOf } from "../system/errors.ts";
import { exec } from "../system/exec.ts";
import type { AppArmorHost } from "./app-armor.ts";
import type { SeLinuxHost } from "./se-linux.ts";

const LOAD_TIMEOUT_MS = 30_000;

export const appArmorHost: AppArmorHost = {
  enabled: async () => (await textOf("/sys/module/apparmor/parameters/enabled")).startsWith("Y"),
  profiles: () => textOf("/sys/kernel/security/apparmor/profiles"),
  async load(profile, signal) {
    await exec("apparmor_parser", ["--replace", "--skip-cache"], {
      input: profile,
      signal,
      timeoutMs: LOAD_TIMEOUT_MS,
    });
  },
};

export const seLinuxHost: SeLinuxHost = {
  enabled: async () => (await seLinuxMode()) !== "absent",
  async contexts() {
    const policy = /^SELINUXTYPE=(\w+)/m.exec(await textOf("/etc/selinux/config"))?.[1];
    return policy === undefined ? "" : await textOf(`/etc/selinux/${policy}/contexts/lxc_contexts`);
  },
};

export async function seLinuxMode(): Promise<"enforcing" | "permissive" | "absent"> {
  const text = await textOf("/sys/fs/selinux/enforce");
  if (text === "") return "absent";
  return text.startsWith("1") ? "enforcing" : "permissive";
}

/** "" for what is not there: a kernel without the module, or without securityfs. */
async function textOf(path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if (errnoOf(error) === "ENOENT" || errnoOf(error) === "ENOTDIR" || errnoOf(error) === "EACCES") return "";
    throw error;
  }
}
