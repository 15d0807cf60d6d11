import { readdir } from "node:fs/promises";
import { join, relative } from "node:path";
import type { Config } from "../config/index.ts";
import { appArmorHost, readSeccompProfile, seLinuxMode } from "../confine/index.ts";
import { findBinary } from "../sandbox/namespace/runtime.ts";
import { messageOf } from "../system/errors.ts";
import type { ConfinementFacts } from "./facts.ts";

export async function gatherConfinement(config: Config): Promise<ConfinementFacts> {
  const enabled = await appArmorHost.enabled();
  const parser = findBinary("apparmor_parser") !== undefined;
  return {
    appArmor: !enabled ? "absent" : parser ? "enabled" : "no-parser",
    seLinux: await seLinuxMode(),
    seccompProfiles: await seccompProfiles(config.seccomp.profiles),
  };
}

async function seccompProfiles(folder: string): Promise<ConfinementFacts["seccompProfiles"]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => []);
  const names = entries
    .filter((entry) => !entry.isDirectory())
    .map((entry) => relative(folder, join(entry.parentPath, entry.name)))
    .filter((name) => name.endsWith(".json"))
    .sort();
  const sound: string[] = [];
  const damaged: { name: string; why: string }[] = [];
  for (const name of names) {
    try {
      await readSeccompProfile(folder, name);
      sound.push(name);
    } catch (error) {
      damaged.push({ name, why: messageOf(error).replace(`the seccomp profile ${join(folder, name)} `, "") });
    }
  }
  return { folder, sound, damaged };
}
