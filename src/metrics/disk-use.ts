import type { Clock } from "../system/clock.ts";
import type { DiskUse } from "./scrape.ts";

/** Counting files takes time: what was counted is good for this long, as in cAdvisor. ms */
const GOOD_FOR_MS = 60_000;

/**
 * Bytes in the writable layers and logs of pods, counted anew at most once a minute, whoever asks.
 * @param usage of one pod, by its uid
 */
export function createDiskUse(
  usage: (uid: string) => Promise<{ readonly containers: Readonly<Record<string, number>> }>,
  clock: Pick<Clock, "now">,
): (uids: readonly string[]) => Promise<DiskUse> {
  const known = new Map<string, { readonly at: number; readonly use: Promise<Readonly<Record<string, number>>> }>();
  return async (uids) => {
    const now = clock.now();
    for (const [uid, { at }] of known) if (now - at >= GOOD_FOR_MS || now < at) known.delete(uid);
    const all = await Promise.all(
      uids.map(async (uid) => {
        const held = known.get(uid) ?? { at: now, use: usage(uid).then(({ containers }) => containers) };
        known.set(uid, held);
        // One that can't be counted now is left out.
        const use = await held.use.catch(() => undefined);
        return use === undefined ? [] : [[uid, use] as const];
      }),
    );
    return new Map(all.flat());
  };
}
