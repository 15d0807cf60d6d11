import { existsSync } from "node:fs";
import type { GcReport, Needs } from "../gc/index.ts";
import { isGantryError } from "../system/errors.ts";
import type { Context } from "./context.ts";
import { isAbsentDaemon } from "./images.ts";

/** Through the daemon where one runs; else by what the manifests say and what runs on this host. */
export async function collectGarbage(context: Context, dryRun: boolean): Promise<GcReport> {
  const client = await context.client();
  try {
    return await client.collectGarbage(dryRun);
  } catch (error) {
    if (!isGantryError(error, "daemon-unreachable") || !isAbsentDaemon(error)) throw error;
    return await withoutDaemon(context, dryRun);
  }
}

async function withoutDaemon({ paths }: Context, dryRun: boolean): Promise<GcReport> {
  const gc = await import("../gc/index.ts");
  const { loadConfig } = await import("../config/index.ts");
  const { createImageStore } = await import("../image/index.ts");
  const { observeHost } = await import("./observe.ts");
  const { readManifests } = await import("./manifests.ts");
  const { silentLogger } = await import("../system/log.ts");
  const { systemClock } = await import("../system/clock.ts");
  const config = await loadConfig({ paths });
  const names = new Set<string>();
  let broken = false;
  for (const folder of config.manifests) {
    const read = await readManifests([folder], config.runtime.handlers).catch((error: unknown) => {
      if (!isGantryError(error, "not-found")) throw error;
      // An empty folder names nothing; one that is not there may only be gone for now.
      broken ||= !existsSync(folder);
      return undefined;
    });
    broken ||= read?.problems.some(({ severity }) => severity === "error") ?? false;
    for (const name of gc.imageNamesIn(read?.objects.map(({ object }) => object))) names.add(name);
  }
  const { sandboxes, unseen } = await observeHost(paths);
  const used = new Set(sandboxes.flatMap(({ containers }) => containers.map(({ imageDigest }) => imageDigest)));
  const needs: Needs = {
    names: () => (broken || unseen.length > 0 ? undefined : names),
    digests: () => used,
  };
  const log = silentLogger();
  const images = createImageStore({ paths, log, clock: systemClock });
  const settings = gc.settingsOf(config.gc);
  const now = systemClock.now();
  return await gc.collectGarbage({ images, needs, settings, podLogs: paths.podLogs, dryRun, now, log });
}
