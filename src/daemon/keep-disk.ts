import { collectGarbage, type GcReport, type GcSettings, type Needs } from "../gc/index.ts";
import { imageNamesIn } from "../gc/names.ts";
import type { ImageStore } from "../image/contract.ts";
import type { PodSupervisor } from "../pod/contract.ts";
import { volumeImagesOf } from "../pod/labels.ts";
import type { ObservedSandbox } from "../sandbox/driver.ts";
import type { NewEvent } from "../store/contract.ts";
import type { Clock, TimerHandle } from "../system/clock.ts";
import { messageOf } from "../system/errors.ts";
import type { Logger } from "../system/log.ts";

export interface DiskKeeperParts {
  readonly images: ImageStore;
  readonly needs: Needs;
  readonly settings: GcSettings;
  readonly intervalMs: number;
  readonly podLogs: string;
  readonly event: (event: NewEvent) => void;
  readonly node: string;
  readonly clock: Clock;
  readonly log: Logger;
}

export interface DiskKeeper {
  /** One round now. Rounds never overlap. */
  collect(dryRun: boolean): Promise<GcReport>;
  /** All that nobody needs now, however much room there is: the node is short of it. */
  collectAll(): Promise<GcReport>;
  end(): void;
}

/** Looks for garbage now and then, and says in events what it removed. */
export function keepDisk(parts: DiskKeeperParts, signal: AbortSignal): DiskKeeper {
  const { clock, log } = parts;
  let timer: TimerHandle | undefined;
  let last: Promise<unknown> = Promise.resolve();
  let complained = false;

  const round = async (dryRun: boolean, settings: GcSettings): Promise<GcReport> => {
    const { images, needs, podLogs } = parts;
    const report = await collectGarbage({ images, needs, settings, podLogs, dryRun, now: clock.now(), log });
    if (!dryRun) tell(report, settings === parts.settings);
    return report;
  };
  const tell = (report: GcReport, asSet: boolean): void => {
    const say = (type: NewEvent["type"], reason: string, message: string): void =>
      parts.event({ object: `Node/${parts.node}`, podUid: undefined, type, reason, message, at: clock.now() });
    const names = report.removed.map(({ names, digest }) => names[0] ?? digest);
    if (names.length > 0)
      say(
        "Normal",
        "ImagesRemoved",
        `Removed ${shortList(names)}, which nothing used: ${mebibytes(report.freedBytes)} MiB`,
      );
    if (report.logs.length > 0) say("Normal", "LogsRemoved", `Removed ${report.logs.length} rotated log files`);
    if (!asSet) return; // of a whole disk there is never enough to be freed
    const short = report.wantedBytes > report.freedBytes;
    // As the kubelet words it; once, until there is room again.
    if (short && !complained)
      say(
        "Warning",
        "FreeDiskSpaceFailed",
        `The disk of the images is ${report.usedPercent} % full. Wanted to free ${mebibytes(report.wantedBytes)} MiB, but only found ${mebibytes(report.freedBytes)} MiB that nothing uses`,
      );
    complained = short;
  };
  const collect = (dryRun: boolean, settings = parts.settings): Promise<GcReport> => {
    const mine = last.then(() => round(dryRun, settings));
    last = mine.catch(() => undefined);
    return mine;
  };
  const later = (): void => {
    if (signal.aborted) return;
    timer = clock.setTimeout(() => {
      collect(false)
        .catch((error: unknown) =>
          log.warn({ reason: messageOf(error) }, "looking for garbage failed; trying again later"),
        )
        .finally(later);
    }, parts.intervalMs);
  };
  later();
  return {
    collect: (dryRun) => collect(dryRun),
    collectAll: () => collect(false, { ...parts.settings, highPercent: 0, lowPercent: 0, minAgeMs: 0 }),
    end: () => clock.clearTimeout(timer),
  };
}

const MAX_SHOWN = 10;

function shortList(names: readonly string[]): string {
  const more = names.length > MAX_SHOWN ? ` and ${names.length - MAX_SHOWN} more` : "";
  return names.slice(0, MAX_SHOWN).join(", ") + more;
}

function mebibytes(bytes: number): number {
  return Math.round(bytes / 2 ** 20);
}

/** What the daemon knows to be in use. @param pinned digests that something else holds on to */
export function needsOf(
  named: () => ReadonlySet<string> | undefined,
  supervisor: PodSupervisor,
  observed: () => ReadonlyMap<string, readonly ObservedSandbox[]>,
  pinned: () => Iterable<string>,
): Needs {
  return {
    names() {
      const manifests = named();
      if (manifests === undefined) return undefined;
      // A manifest that was accepted once may be gone from its file while the pod is still there.
      const accepted = supervisor
        .list()
        .flatMap(({ containers, desired }) => [
          ...containers.map(({ image }) => image),
          ...imageNamesIn(desired.pod.spec),
        ]);
      return new Set([...manifests, ...accepted]);
    },
    digests() {
      const known = supervisor
        .list()
        .flatMap(({ containers }) => containers.flatMap(({ imageDigest }) => imageDigest ?? []));
      const seen = [...observed().values()]
        .flat()
        .flatMap(({ containers, labels }) => [
          ...containers.map(({ imageDigest }) => imageDigest),
          ...volumeImagesOf(labels),
        ]);
      return new Set([...known, ...seen, ...pinned()]);
    },
  };
}
