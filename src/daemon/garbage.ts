import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import type { PodSupervisor } from "../pod/contract.ts";
import type { ObservedSandbox, SandboxDriver } from "../sandbox/driver.ts";
import type { Clock, TimerHandle } from "../system/clock.ts";
import { messageOf } from "../system/errors.ts";
import type { Logger } from "../system/log.ts";
import type { VolumeManager } from "../volume/contract.ts";

export interface GarbageParts {
  readonly drivers: readonly SandboxDriver[];
  readonly volumes: VolumeManager;
  readonly supervisor: PodSupervisor;
  readonly podLogs: string;
  readonly observed: () => ReadonlyMap<string, readonly ObservedSandbox[]>;
  readonly clock: Clock;
  readonly log: Logger;
}

/** What crashes leave behind is found by looking, so it need not be looked for often. */
const INTERVAL_MS = 10 * 60_000;

/** Removes what belongs to no pod, at once and then now and then. @returns a function that ends it */
export function keepClean(parts: GarbageParts, signal: AbortSignal): () => void {
  let timer: TimerHandle | undefined;
  const round = async (): Promise<void> => {
    try {
      for (const what of await collect(parts, signal)) parts.log.info({ what }, "removed what was left over");
    } catch (error) {
      if (!signal.aborted) parts.log.warn({ reason: messageOf(error) }, "the clean-up failed, the next one follows");
    }
    if (!signal.aborted) timer = parts.clock.setTimeout(() => void round(), INTERVAL_MS);
  };
  void round();
  return () => parts.clock.clearTimeout(timer);
}

async function collect(
  { drivers, volumes, supervisor, podLogs, observed }: GarbageParts,
  signal: AbortSignal,
): Promise<string[]> {
  // One after the other: each also looks at the network, which they share.
  const removed: string[] = [];
  for (const driver of drivers) removed.push(...(await driver.collectGarbage(signal)));
  // Asked for after the slow part: a pod that was created meanwhile is known by now.
  const isKnown = (uid: string): boolean => supervisor.get(uid) !== undefined || observed().has(uid);
  const strayVolumes = (await volumes.list()).filter((uid) => !isKnown(uid));
  for (const uid of strayVolumes) await volumes.remove(uid, signal);
  const strayLogs = (await namesIn(podLogs)).filter((name) => !isKnown(name.slice(name.lastIndexOf("_") + 1)));
  for (const name of strayLogs) await rm(join(podLogs, name), { recursive: true, force: true });
  return [...removed, ...strayVolumes.map((uid) => `volumes of ${uid}`), ...strayLogs.map((name) => `logs of ${name}`)];
}

/** What outlives the sandboxes of one pod: volumes and logs. */
export async function removeTraces(
  uid: string,
  { volumes, podLogs }: Pick<GarbageParts, "volumes" | "podLogs">,
  signal: AbortSignal,
): Promise<void> {
  if (uid === "") return; // a sandbox so damaged that nobody knows whose it was
  await volumes.remove(uid, signal);
  const logs = (await namesIn(podLogs)).filter((name) => name.endsWith(`_${uid}`));
  for (const name of logs) await rm(join(podLogs, name), { recursive: true, force: true });
}

async function namesIn(directory: string): Promise<string[]> {
  return readdir(directory).catch(() => []); // no pod has logged anything yet
}
