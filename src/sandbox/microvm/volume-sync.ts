import { lstat, readlink, stat } from "node:fs/promises";
import { join } from "node:path";
import { messageOf } from "../../system/errors.ts";
import type { PreparedVolume } from "../driver.ts";
import { isGenerated } from "../generated.ts";
import type { Context } from "./context.ts";
import type { SandboxRecord } from "./records.ts";
import { pushVolume } from "./volumes.ts";

/** Carries changes of ConfigMaps and Secrets into running guests. */
export interface VolumeSync {
  /** Notes what was pushed just now. */
  pushed(sandboxId: string, volume: PreparedVolume, version: string): void;
  /** Looks whether the host's files have changed since, and pushes them if so. Returns at once; never fails. */
  check(ctx: Context, sandbox: SandboxRecord): void;
  forget(sandboxId: string): void;
}

export function createVolumeSync(): VolumeSync {
  /** By sandbox and volume. One that is not known was pushed by an earlier daemon: once more does no harm. */
  const versions = new Map<string, Map<string, string>>();
  const busy = new Set<string>();

  const push = async (ctx: Context, sandbox: SandboxRecord): Promise<void> => {
    const { id, volumes } = sandbox.config;
    for (const volume of volumes) {
      if (!isGenerated(volume)) continue;
      const version = await versionOf(volume);
      if (version === undefined || versions.get(id)?.get(volume.name) === version) continue;
      await pushVolume(ctx, id, volume, new AbortController().signal);
    }
  };

  return {
    pushed(sandboxId, volume, version) {
      const known = versions.get(sandboxId) ?? new Map<string, string>();
      versions.set(sandboxId, known.set(volume.name, version));
    },
    check(ctx, sandbox) {
      const { id } = sandbox.config;
      if (busy.has(id)) return;
      busy.add(id);
      push(ctx, sandbox)
        .catch((error: unknown) => {
          // Nobody has mounted it yet, or the VM has ended: it is pushed when it is needed.
          ctx.log.debug({ sandbox: id, reason: messageOf(error) }, "a volume was not brought up to date");
        })
        .finally(() => busy.delete(id));
    },
    forget: (sandboxId) => void versions.delete(sandboxId),
  };
}

/** Changes with the content: where "..data" leads, which each update of the volume replaces. */
export async function versionOf(volume: PreparedVolume): Promise<string | undefined> {
  try {
    return await readlink(join(volume.hostPath, "..data"));
  } catch {
    const info = await lstat(volume.hostPath).catch(() => undefined);
    return info === undefined ? undefined : `${(await stat(volume.hostPath)).mtimeMs}`;
  }
}
