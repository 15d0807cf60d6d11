import { mkdir, rm, rmdir, statfs, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { isForOnePod, isReadOnly, requestedBytes } from "../../manifest/claim.ts";
import type { PersistentVolumeClaim } from "../../manifest/index.ts";
import { GantryError, isGantryError } from "../../system/errors.ts";
import { KeyedMutex } from "../../system/keyed-mutex.ts";
import { namesIn } from "../names-in.ts";
import { removeTree } from "../remove.ts";
import type { ClaimVolume, ClaimVolumes, WantedClaims } from "./contract.ts";
import { aboutClaim, lostError } from "./errors.ts";
import {
  allVolumeFiles,
  type FoundVolume,
  findVolume,
  recordOf,
  saveRecord,
  usersOf,
  type VolumeFiles,
  type VolumeRecord,
  volumeFiles,
} from "./files.ts";
import { type FollowPorts, followClaims } from "./follow.ts";
import { freeBytes, growImage, imageBytes, makeImage, mountImage, mountOf, unmountImage } from "./image.ts";

export interface ClaimStoreOptions extends Omit<FollowPorts, "mutex"> {
  /** Whether all containers of a pod have ended for good: it keeps a volume for one pod from nobody then. */
  readonly hasEnded: (uid: string) => boolean;
}

/** What a pod is given. */
export interface MountedClaim {
  readonly path: string;
  /** The claim lets nobody write. */
  readonly readOnly: boolean;
}

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

  reconcile(wanted: WantedClaims, signal: AbortSignal): ReturnType<ClaimVolumes["reconcile"]> {
    return followClaims(this, { ...this.#options, mutex: this.#mutex }, wanted, signal);
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
