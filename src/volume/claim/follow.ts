/** Volumes follow what manifests claim: they grow, and go by their reclaim policy. */
import { isDeepStrictEqual } from "node:util";
import { formatBytes } from "../../bytes.ts";
import { requestedBytes } from "../../manifest/claim.ts";
import type { PersistentVolumeClaim } from "../../manifest/index.ts";
import type { Clock } from "../../system/clock.ts";
import { messageOf } from "../../system/errors.ts";
import type { KeyedMutex } from "../../system/keyed-mutex.ts";
import type { Logger } from "../../system/log.ts";
import type { ClaimNote, ClaimVolume, ClaimVolumes, WantedClaims } from "./contract.ts";
import { wayOut } from "./errors.ts";
import { findVolume, recordOf, saveRecord, volumeFiles } from "./files.ts";
import { growImage, imageBytes } from "./image.ts";

export interface FollowPorts {
  readonly root: string;
  readonly log: Logger;
  readonly clock: Pick<Clock, "now">;
  /** ms that a volume with the policy Delete outlives its claim. */
  readonly deleteAfterMs: number;
  /** By the directory of a volume. */
  readonly mutex: KeyedMutex;
}

type Tell = (type: ClaimNote["type"], reason: string, message: string) => void;

/** See ClaimVolumes.reconcile. */
export async function followClaims(
  store: Pick<ClaimVolumes, "list" | "remove">,
  ports: FollowPorts,
  wanted: WantedClaims,
  signal: AbortSignal,
): ReturnType<ClaimVolumes["reconcile"]> {
  const notes: ClaimNote[] = [];
  let lookAt: number | undefined;
  for (const volume of await store.list()) {
    const { namespace, name } = volume;
    const tell: Tell = (type, reason, message) => void notes.push({ namespace, name, type, reason, message });
    try {
      const claim = wanted.claims.get(`${namespace}/${name}`);
      if (volume.lost !== undefined) tell("Warning", "VolumeLost", `${volume.lost}. ${wayOut(volume)}`);
      if (claim !== undefined) await follow(claim, ports, signal, tell);
      else if (wanted.doubt === undefined) {
        const due = await unclaimed(volume, store, ports, signal, tell);
        if (due !== undefined) lookAt = Math.min(lookAt ?? due, due);
      }
    } catch (error) {
      if (signal.aborted) throw error;
      ports.log.warn({ volume: `${namespace}/${name}`, reason: messageOf(error) }, "a volume has a problem");
      tell("Warning", "VolumeFailed", messageOf(error));
    }
  }
  return { notes, lookAt };
}

/** Its record says what the claim says now, and it grows where that asks for more. */
async function follow(
  claim: PersistentVolumeClaim,
  ports: FollowPorts,
  signal: AbortSignal,
  tell: Tell,
): Promise<void> {
  const { namespace, name } = claim.metadata;
  const { root, log, clock, mutex } = ports;
  const files = volumeFiles(root, namespace, name);
  await mutex.run(files.dir, async () => {
    const found = await findVolume(files, log);
    if (found === undefined || found.lost !== undefined) return;
    const before = found.record;
    const wanted = imageBytes(requestedBytes(claim.spec));
    let bytes = before?.bytes ?? found.fileBytes;
    const save = async (): Promise<void> => {
      const after = {
        ...recordOf(claim, before?.createdAt ?? clock.now()),
        ...{ bytes, used: before?.used ?? true },
      };
      if (!isDeepStrictEqual(before, after)) await saveRecord(files, after);
    };
    await save(); // whatever comes of the growth, it is claimed again
    if (wanted <= bytes) return;
    if (await growImage(files.image, files.mount, wanted, signal)) {
      tell(
        "Normal",
        "FileSystemResizeSuccessful",
        `the volume has grown from ${formatBytes(bytes)} to ${formatBytes(wanted)}`,
      );
      bytes = wanted;
      await save();
    } else tell("Normal", "FileSystemResizePending", "the volume grows when no pod has it any more");
  });
}

/** @returns when it goes, where that is to come */
async function unclaimed(
  volume: ClaimVolume,
  store: Pick<ClaimVolumes, "remove">,
  ports: FollowPorts,
  signal: AbortSignal,
  tell: Tell,
): Promise<number | undefined> {
  const { namespace, name, reclaimPolicy } = volume;
  const { root, log, clock, deleteAfterMs, mutex } = ports;
  const files = volumeFiles(root, namespace, name);
  const goneSince = volume.goneSince ?? clock.now();
  if (volume.goneSince === undefined) {
    await mutex.run(files.dir, async () => {
      const record = (await findVolume(files, log))?.record;
      if (record !== undefined) await saveRecord(files, { ...record, goneSince });
    });
  }
  if (reclaimPolicy !== "Delete") return undefined;
  const due = goneSince + deleteAfterMs;
  if (clock.now() < due) {
    if (volume.goneSince === undefined) {
      const at = new Date(due).toISOString().slice(0, 19);
      tell(
        "Normal",
        "VolumeReleased",
        `no manifest claims the volume any more: by its reclaim policy Delete it is removed at ${at}Z, unless it is claimed again`,
      );
    }
    return due;
  }
  if (volume.pods.length > 0) return undefined; // the end of the pod says look again
  await store.remove(namespace, name, signal);
  tell("Normal", "VolumeDeleted", "nobody claims the volume any more, and its reclaim policy is Delete");
  return undefined;
}
