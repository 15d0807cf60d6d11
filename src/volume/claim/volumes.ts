import { mkdir, readFile, rename, rm, rmdir, statfs, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { z } from "zod";
import { isForOnePod, isReadOnly, reclaimPolicyOf, requestedBytes } from "../../manifest/claim.ts";
import type { PersistentVolumeClaim } from "../../manifest/index.ts";
import { errnoOf, GantryError, messageOf } from "../../system/errors.ts";
import { KeyedMutex } from "../../system/keyed-mutex.ts";
import type { Logger } from "../../system/log.ts";
import { namesIn } from "../names-in.ts";
import { removeTree } from "../remove.ts";
import type { ClaimNote, ClaimVolume, ClaimVolumes } from "./contract.ts";
import { deviceOf, growImage, imageBytes, makeImage, mountImage, sizeOf, unmountImage } from "./image.ts";

/** What is kept of a claim, for the time after it: what becomes of the data, and what people want to know. */
const record = z.object({
  namespace: z.string(),
  name: z.string(),
  accessModes: z.array(z.string()),
  reclaimPolicy: z.enum(["Retain", "Delete"]),
  storageClassName: z.string().optional(),
  createdAt: z.number(),
  /** Of the file system: its file is larger when a crash kept it from growing. */
  bytes: z.number(),
  /** A pod has had it mounted. */
  used: z.boolean(),
});
type Record = z.output<typeof record>;

/** What a pod is given. */
export interface MountedClaim {
  readonly path: string;
  /** The claim lets nobody write. */
  readonly readOnly: boolean;
}

/**
 * The volumes of claims: <lib>/volumes/<namespace>/<name>/ has the record, the file with the file system, the directory
 * where that is mounted for as long as some pod has it, and a file for each of these pods, so that a crash forgets none.
 */
export class ClaimStore implements ClaimVolumes {
  readonly #root: string;
  readonly #log: Logger;
  readonly #mutex = new KeyedMutex();

  constructor(root: string, log: Logger) {
    this.#root = root;
    this.#log = log;
  }

  /**
   * Makes the volume of a claim when it is first needed, and mounts it for a pod. Safe to repeat.
   * @throws GantryError conflict (another pod has what is for one), volume-failed, disk-full
   */
  async mount(
    claim: PersistentVolumeClaim,
    pod: { readonly uid: string; readonly key: string },
    signal: AbortSignal,
  ): Promise<MountedClaim> {
    const { namespace, name } = claim.metadata;
    const files = this.#files(namespace, name);
    return await this.#mutex.run(files.dir, async () => {
      await mkdir(files.users, { recursive: true, mode: 0o711 });
      const others = (await this.#users(files)).filter(({ uid }) => uid !== pod.uid);
      const [rival] = others;
      if (rival !== undefined && isForOnePod(claim.spec)) {
        throw new GantryError(
          "conflict",
          `pod ${rival.key} has the PersistentVolumeClaim "${name}", whose access mode is ReadWriteOncePod`,
          { hint: "This pod starts when the other one is gone.", details: { claim: name } },
        );
      }
      const before = await this.#read(files);
      const { bytes: made } = await sizeOf(files.image);
      const wanted = imageBytes(requestedBytes(claim.spec));
      if (made === 0) await makeImage(files.image, wanted, signal);
      await mkdir(files.mount, { recursive: true, mode: 0o711 });
      const fresh = made === 0 || before?.used === false;
      const facts = recordOf(claim, made === 0 ? Date.now() : (before?.createdAt ?? Date.now()));
      let bytes = made === 0 ? wanted : (before?.bytes ?? made);
      const grow = async (): Promise<void> => {
        if (wanted > bytes && (await growImage(files.image, files.mount, wanted, signal))) bytes = wanted;
      };
      await grow();
      // Before the mount: who knows of a user does not forget a mount.
      await writeFile(join(files.users, pod.uid), pod.key);
      await this.#save(files, { ...facts, bytes, used: !fresh });
      await mountImage(files.image, files.mount, fresh, signal);
      await grow();
      await this.#save(files, { ...facts, bytes, used: true });
      return { path: files.mount, readOnly: isReadOnly(claim.spec) };
    });
  }

  /** A pod is gone: what nobody else has is unmounted. */
  async release(uid: string, signal: AbortSignal): Promise<void> {
    for (const files of await this.#all()) {
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
    return (await Promise.all((await this.#all()).map(({ users }) => namesIn(users)))).flat();
  }

  async list(): Promise<ClaimVolume[]> {
    const volumes: ClaimVolume[] = [];
    for (const files of await this.#all()) {
      const { namespace, name } = files;
      const found = await this.#read(files);
      const { bytes, onDisk } = await sizeOf(files.image);
      if (bytes === 0) continue;
      const { used: _used, bytes: capacityBytes, ...facts } = found ?? { ...UNKNOWN, bytes };
      const mounted = (await deviceOf(files.mount)) !== undefined;
      const room = mounted ? await statfs(files.mount).catch(() => undefined) : undefined;
      volumes.push({
        ...facts,
        ...{ namespace, name, storageClassName: facts.storageClassName, capacityBytes, onDiskBytes: onDisk },
        pods: (await this.#users(files)).map(({ key }) => key).sort(),
        file: files.image,
        mountedAt: mounted ? files.mount : undefined,
        freeBytes: room === undefined ? undefined : room.bavail * room.bsize,
      });
    }
    return volumes;
  }

  async reconcile(wanted: ReadonlyMap<string, PersistentVolumeClaim>, signal: AbortSignal): Promise<ClaimNote[]> {
    const notes: ClaimNote[] = [];
    for (const volume of await this.list()) {
      const { namespace, name } = volume;
      const note = (type: ClaimNote["type"], reason: string, message: string): void =>
        void notes.push({ namespace, name, type, reason, message });
      try {
        const claim = wanted.get(`${namespace}/${name}`);
        if (claim !== undefined) await this.#follow(claim, signal, note);
        else if (volume.reclaimPolicy === "Delete" && volume.pods.length === 0) {
          await this.remove(namespace, name, signal);
          note("Normal", "VolumeDeleted", "nobody claims the volume any more, and its reclaim policy is Delete");
        }
      } catch (error) {
        if (signal.aborted) throw error;
        this.#log.warn({ volume: `${namespace}/${name}`, reason: messageOf(error) }, "a volume is not as it should be");
        note("Warning", "VolumeFailed", messageOf(error));
      }
    }
    return notes;
  }

  async #follow(
    claim: PersistentVolumeClaim,
    signal: AbortSignal,
    note: (type: ClaimNote["type"], reason: string, message: string) => void,
  ): Promise<void> {
    const { namespace, name } = claim.metadata;
    const files = this.#files(namespace, name);
    await this.#mutex.run(files.dir, async () => {
      const { bytes: made } = await sizeOf(files.image);
      const before = await this.#read(files);
      const wanted = imageBytes(requestedBytes(claim.spec));
      let bytes = before?.bytes ?? made;
      if (made > 0 && wanted > bytes) {
        if (await growImage(files.image, files.mount, wanted, signal)) {
          note("Normal", "FileSystemResizeSuccessful", `the volume has grown from ${bytes} to ${wanted} bytes`);
          bytes = wanted;
        } else note("Normal", "FileSystemResizePending", "the volume grows when no pod has it any more");
      }
      const after = { ...recordOf(claim, before?.createdAt ?? Date.now()), bytes, used: before?.used ?? true };
      if (made > 0 && !isDeepStrictEqual(before, after)) await this.#save(files, after);
    });
  }

  async remove(namespace: string, name: string, signal: AbortSignal): Promise<void> {
    const files = this.#files(namespace, name);
    await this.#mutex.run(files.dir, async () => {
      if ((await sizeOf(files.image)).bytes === 0) {
        throw new GantryError("not-found", `there is no volume ${namespace}/${name}`, {
          hint: "See 'gantry volume ls' for what there is.",
        });
      }
      const [user] = await this.#users(files);
      if (user !== undefined) {
        throw new GantryError("conflict", `pod ${user.key} uses the volume ${namespace}/${name}`, {
          hint: `Remove the pod first: gantry delete ${user.key}`,
        });
      }
      await unmountImage(files.mount, signal);
      await removeTree(files.dir, signal);
      await rmdir(dirname(files.dir)).catch(() => {}); // the namespace has others
    });
  }

  async #all() {
    const namespaces = (await namesIn(this.#root)).sort();
    const names = await Promise.all(namespaces.map((namespace) => namesIn(join(this.#root, namespace))));
    return namespaces.flatMap((namespace, at) => (names[at] ?? []).sort().map((name) => this.#files(namespace, name)));
  }

  #files(namespace: string, name: string) {
    const dir = join(this.#root, namespace, name);
    return {
      ...{ namespace, name, dir },
      record: join(dir, "volume.json"),
      image: join(dir, "data.ext4"),
      mount: join(dir, "data"),
      users: join(dir, "pods"),
    };
  }

  async #users({ users }: { readonly users: string }): Promise<{ uid: string; key: string }[]> {
    const uids = await namesIn(users);
    return await Promise.all(uids.map(async (uid) => ({ uid, key: await readFile(join(users, uid), "utf8") })));
  }

  /** Undefined when there is none that can be read; the data is what counts. */
  async #read({ record: path }: { readonly record: string }): Promise<Record | undefined> {
    try {
      return record.parse(JSON.parse(await readFile(path, "utf8")));
    } catch (error) {
      if (errnoOf(error) !== "ENOENT") this.#log.warn({ file: path, reason: messageOf(error) }, "a record is damaged");
      return undefined;
    }
  }

  async #save({ record: path }: { readonly record: string }, value: Record): Promise<void> {
    await writeFile(`${path}.new`, JSON.stringify(value), { mode: 0o600 });
    await rename(`${path}.new`, path);
  }
}

/** A volume whose record is lost is kept. */
const UNKNOWN: Omit<Record, "namespace" | "name" | "bytes"> = {
  accessModes: [],
  reclaimPolicy: "Retain",
  createdAt: 0,
  used: true,
};

function recordOf(claim: PersistentVolumeClaim, createdAt: number): Omit<Record, "used" | "bytes"> {
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
