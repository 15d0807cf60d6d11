import { mkdir, rm, rmdir, statfs, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { formatBytes } from "../../bytes.ts";
import { isForOnePod, isReadOnly, reclaimPolicyOf, requestedBytes } from "../../manifest/claim.ts";
import type { PersistentVolumeClaim } from "../../manifest/index.ts";
import type { Clock } from "../../system/clock.ts";
import { GantryError, isGantryError, messageOf } from "../../system/errors.ts";
import { KeyedMutex } from "../../system/keyed-mutex.ts";
import type { Logger } from "../../system/log.ts";
import { namesIn } from "../names-in.ts";
import { removeTree } from "../remove.ts";
import type { ClaimNote, ClaimVolume, ClaimVolumes, WantedClaims } from "./contract.ts";
import {
  allVolumeFiles,
  type FoundVolume,
  findVolume,
  saveRecord,
  usersOf,
  type VolumeFiles,
  type VolumeRecord,
  volumeFiles,
} from "./files.ts";
import { freeBytes, growImage, imageBytes, makeImage, mountImage, mountOf, unmountImage } from "./image.ts";

export interface ClaimStoreOptions {
  readonly root: string;
  readonly log: Logger;
  readonly clock: Pick<Clock, "now">;
  /** ms that a volume with the policy Delete outlives its claim. */
  readonly deleteAfterMs: number;
  /** Whether all containers of a pod have ended for good: it keeps a volume for one pod from nobody then. */
  readonly hasEnded: (uid: string) => boolean;
}

/** What a pod is given. */
export interface MountedClaim {
  readonly path: string;
  /** The claim lets nobody write. */
  readonly readOnly: boolean;
}

type Tell = (type: ClaimNote["type"], reason: string, message: string) => void;

/** The volumes of claims, which files.ts says the places of. */
export class ClaimStore implements ClaimVolumes {
  readonly #options: ClaimStoreOptions;
  readonly #mutex = new KeyedMutex();

  constructor(options: ClaimStoreOptions) {
    this.#options = options;
  }

  /**
   * Makes the volume of a claim when it is first needed, and mounts it for a pod. Safe to repeat.
   * @throws GantryError conflict (another pod has what is for one), volume-failed (its data is missing or damaged),
   * disk-full
   */
  async mount(
    claim: PersistentVolumeClaim,
    pod: { readonly uid: string; readonly key: string },
    signal: AbortSignal,
  ): Promise<MountedClaim> {
    const { namespace, name } = claim.metadata;
    const files = volumeFiles(this.#options.root, namespace, name);
    return await this.#mutex.run(files.dir, async () => {
      await mkdir(files.users, { recursive: true, mode: 0o711 });
      if (isForOnePod(claim.spec)) await this.#requireAlone(files, pod.uid);
      const found = await findVolume(files, this.#options.log);
      if (found?.lost !== undefined) throw lostError(files, found.lost);
      const wanted = imageBytes(requestedBytes(claim.spec));
      const fresh = found === undefined || found.record?.used === false;
      const facts = recordOf(claim, found?.record?.createdAt ?? this.#options.clock.now());
      let bytes = found === undefined ? wanted : (found.record?.bytes ?? found.fileBytes);
      if (found === undefined) {
        // Before the file: a file without a record has data in it.
        await saveRecord(files, { ...facts, bytes, used: false });
        try {
          await makeImage(files.image, wanted, signal);
        } catch (error) {
          await removeTree(files.dir, signal);
          throw aboutClaim(name, error);
        }
      }
      await mkdir(files.mount, { recursive: true, mode: 0o711 });
      const grow = async (): Promise<void> => {
        if (wanted > bytes && (await this.#grow(files, wanted, signal))) bytes = wanted;
      };
      await grow();
      // Before the mount: who knows of a user does not forget a mount.
      await writeFile(join(files.users, pod.uid), pod.key);
      await saveRecord(files, { ...facts, bytes, used: !fresh });
      await mountImage(files.image, files.mount, fresh, signal).catch((error: unknown) => {
        throw aboutClaim(name, error);
      });
      await grow();
      await saveRecord(files, { ...facts, bytes, used: true });
      return { path: files.mount, readOnly: isReadOnly(claim.spec) };
    });
  }

  async #requireAlone(files: VolumeFiles, uid: string): Promise<void> {
    const rival = (await usersOf(files)).find((user) => user.uid !== uid && !this.#options.hasEnded(user.uid));
    if (rival === undefined) return;
    throw new GantryError(
      "conflict",
      `pod ${rival.key} has the PersistentVolumeClaim "${files.name}", whose access mode is ReadWriteOncePod`,
      {
        hint: "This pod starts when the other one has ended or is gone; with ReadWriteOnce, the pods of this node share it.",
        details: { claim: files.name },
      },
    );
  }

  /** Where there is no room for more, a pod goes on with what it has: `gantry volume` tells. */
  async #grow(files: VolumeFiles, bytes: number, signal: AbortSignal): Promise<boolean> {
    try {
      return await growImage(files.image, files.mount, bytes, signal);
    } catch (error) {
      if (!isGantryError(error, "disk-full")) throw error;
      return false;
    }
  }

  /** A pod is gone: what nobody else has is unmounted. */
  async release(uid: string, signal: AbortSignal): Promise<void> {
    for (const files of await allVolumeFiles(this.#options.root)) {
      if (!(await namesIn(files.users)).includes(uid)) continue;
      await this.#mutex.run(files.dir, async () => {
        const others = (await namesIn(files.users)).filter((one) => one !== uid);
        if (others.length === 0) await unmountImage(files.mount, signal);
        await rm(join(files.users, uid), { force: true });
      });
    }
  }

  /** uids of the pods that have some claim's volume. */
  async podUids(): Promise<string[]> {
    const all = await allVolumeFiles(this.#options.root);
    return (await Promise.all(all.map(({ users }) => namesIn(users)))).flat();
  }

  async room(): Promise<number> {
    await mkdir(this.#options.root, { recursive: true, mode: 0o711 });
    return await freeBytes(this.#options.root);
  }

  async list(): Promise<ClaimVolume[]> {
    const volumes: ClaimVolume[] = [];
    for (const files of await allVolumeFiles(this.#options.root)) {
      const found = await findVolume(files, this.#options.log);
      if (found !== undefined) volumes.push(await this.#show(files, found));
    }
    return volumes;
  }

  async #show(files: VolumeFiles, found: FoundVolume): Promise<ClaimVolume> {
    const { namespace, name, image: file, mount: target } = files;
    const { used: _used, bytes: capacityBytes, ...facts } = found.record ?? { ...UNKNOWN, bytes: found.fileBytes };
    const mount = await mountOf(target);
    const room = mount === undefined ? undefined : await statfs(target).catch(() => undefined);
    const { goneSince, reclaimPolicy } = facts;
    const passes = goneSince !== undefined && reclaimPolicy === "Delete";
    return {
      ...facts,
      ...{ namespace, name, file, goneSince, storageClassName: facts.storageClassName, capacityBytes },
      onDiskBytes: found.onDiskBytes,
      pods: (await usersOf(files)).map(({ key }) => key).sort(),
      mountedAt: mount === undefined ? undefined : target,
      freeBytes: room === undefined ? undefined : room.bavail * room.bsize,
      deletesAt: passes ? goneSince + this.#options.deleteAfterMs : undefined,
      lost: found.lost,
      failed: mount?.readOnly === true,
    };
  }

  async reconcile(
    wanted: WantedClaims,
    signal: AbortSignal,
  ): Promise<{ readonly notes: ClaimNote[]; readonly lookAt: number | undefined }> {
    const notes: ClaimNote[] = [];
    let lookAt: number | undefined;
    for (const volume of await this.list()) {
      const { namespace, name } = volume;
      const tell: Tell = (type, reason, message) => void notes.push({ namespace, name, type, reason, message });
      try {
        const claim = wanted.claims.get(`${namespace}/${name}`);
        if (volume.lost !== undefined) tell("Warning", "VolumeLost", `${volume.lost}. ${wayOut(volume)}`);
        if (claim !== undefined) await this.#follow(claim, signal, tell);
        else if (wanted.doubt === undefined) {
          const due = await this.#unclaimed(volume, signal, tell);
          if (due !== undefined) lookAt = Math.min(lookAt ?? due, due);
        }
      } catch (error) {
        if (signal.aborted) throw error;
        this.#options.log.warn({ volume: `${namespace}/${name}`, reason: messageOf(error) }, "a volume has a problem");
        tell("Warning", "VolumeFailed", messageOf(error));
      }
    }
    return { notes, lookAt };
  }

  async #follow(claim: PersistentVolumeClaim, signal: AbortSignal, tell: Tell): Promise<void> {
    const { namespace, name } = claim.metadata;
    const { root, log, clock } = this.#options;
    const files = volumeFiles(root, namespace, name);
    await this.#mutex.run(files.dir, async () => {
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
  async #unclaimed(volume: ClaimVolume, signal: AbortSignal, tell: Tell): Promise<number | undefined> {
    const { namespace, name, reclaimPolicy } = volume;
    const { root, log, clock, deleteAfterMs } = this.#options;
    const files = volumeFiles(root, namespace, name);
    const goneSince = volume.goneSince ?? clock.now();
    if (volume.goneSince === undefined) {
      await this.#mutex.run(files.dir, async () => {
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
    await this.remove(namespace, name, signal);
    tell("Normal", "VolumeDeleted", "nobody claims the volume any more, and its reclaim policy is Delete");
    return undefined;
  }

  async remove(namespace: string, name: string, signal: AbortSignal): Promise<void> {
    const files = volumeFiles(this.#options.root, namespace, name);
    await this.#mutex.run(files.dir, async () => {
      if ((await findVolume(files, this.#options.log)) === undefined) {
        throw new GantryError("not-found", `there is no volume ${namespace}/${name}`, {
          hint: "See 'gantry volume ls' for what there is.",
        });
      }
      const [user] = await usersOf(files);
      if (user !== undefined) {
        throw new GantryError("conflict", `pod ${user.key} uses the volume ${namespace}/${name}`, {
          hint: `Remove the pod first: gantry delete ${user.key}`,
        });
      }
      await unmountImage(files.mount, signal);
      // First: a record whose file is gone would be told to be a loss.
      await rm(files.record, { force: true });
      await removeTree(files.dir, signal);
      await rmdir(dirname(files.dir)).catch(() => {}); // the namespace has others
    });
  }
}

/** A volume whose record is lost is kept. */
const UNKNOWN: Omit<VolumeRecord, "namespace" | "name" | "bytes"> = {
  accessModes: [],
  reclaimPolicy: "Retain",
  createdAt: 0,
  used: true,
};

function lostError(files: VolumeFiles, lost: string): GantryError {
  return new GantryError("volume-failed", `PersistentVolumeClaim "${files.name}": ${lost}`, {
    kind: "system",
    hint: wayOut(files),
  });
}

function wayOut({ namespace, name }: { readonly namespace: string; readonly name: string }): string {
  return `Put the file back from a copy, and its pods start. To begin anew instead, take the claim out of its manifest, run 'gantry volume rm ${namespace}/${name}', and put the claim back.`;
}

/** Says whose trouble it is. */
function aboutClaim(claim: string, error: unknown): unknown {
  if (!isGantryError(error, "volume-failed", "disk-full")) return error;
  const { code, kind, hint, message } = error;
  return new GantryError(code, `PersistentVolumeClaim "${claim}": ${message}`, {
    ...{ kind, cause: error },
    ...(code === "disk-full" ? { details: { claim } } : {}),
    ...(hint === undefined ? {} : { hint }),
  });
}

function recordOf(claim: PersistentVolumeClaim, createdAt: number): Omit<VolumeRecord, "used" | "bytes"> {
  const { metadata, spec } = claim;
  return {
    namespace: metadata.namespace,
    name: metadata.name,
    accessModes: [...(spec.accessModes ?? [])],
    reclaimPolicy: reclaimPolicyOf(claim),
    ...(spec.storageClassName ? { storageClassName: spec.storageClassName } : {}),
    createdAt,
  };
}
