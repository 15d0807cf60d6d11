import { chmod, mkdir, rmdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { isReadOnly, requestedBytes } from "../manifest/claim.ts";
import type { Pod } from "../manifest/index.ts";
import type { PreparedVolume } from "../sandbox/driver.ts";
import type { Clock } from "../system/clock.ts";
import { type DiskUnit, diskUsage } from "../system/disk-usage.ts";
import { errnoOf, GantryError, isGantryError, toGantryError } from "../system/errors.ts";
import { KeyedMutex } from "../system/keyed-mutex.ts";
import type { Logger } from "../system/log.ts";
import type { Paths } from "../system/paths.ts";
import { isWritten, writeAtomically } from "./atomic-writer.ts";
import { imageBytes, makeImage, mountImage, sizeOf } from "./claim/image.ts";
import { ClaimStore } from "./claim/volumes.ts";
import type { ConfigLookup, VolumeManager } from "./contract.ts";
import { prepareEmptyDir } from "./empty-dir.ts";
import { fsGroupOf, giveDirectory, giveToGroup, readableByGroup } from "./fs-group.ts";
import { prepareHostPath } from "./host-path.ts";
import { namesIn } from "./names-in.ts";
import { configMapPayload, downwardPayload, type Payload, projectedPayload, secretPayload } from "./payload.ts";
import { removeTree } from "./remove.ts";
import { ensureTmpfs, isTmpfsMounted } from "./tmpfs.ts";

export interface VolumeManagerOptions {
  readonly paths: Paths;
  readonly log: Logger;
  readonly clock: Pick<Clock, "now">;
  /** ms that the volume of a claim with the reclaim policy Delete outlives it. */
  readonly deleteAfterMs: number;
  /** Whether all containers of a pod have ended for good. */
  readonly hasEnded: (uid: string) => boolean;
}

/**
 * Volumes on a local disk. Everything of a pod lies in <lib>/pods/<uid>/volumes/<kind>/<name>; secrets lie in one
 * tmpfs that all pods share, <run>/secrets/<uid>/<name>, so that they never reach a disk and cost no mount each.
 */
export function createVolumeManager(options: VolumeManagerOptions): VolumeManager {
  return new LocalVolumeManager(options);
}

type PodVolume = NonNullable<Pod["spec"]["volumes"]>[number];

/** The lock of the secrets' tmpfs, which belongs to no pod. */
const SECRETS = "secrets";

class LocalVolumeManager implements VolumeManager {
  readonly claims: ClaimStore;
  readonly #pods: string;
  readonly #secrets: string;
  readonly #log: Logger;
  readonly #mutex = new KeyedMutex();

  constructor({ paths, log, ...options }: VolumeManagerOptions) {
    this.#pods = paths.pods;
    this.#secrets = join(paths.run, "secrets");
    this.#log = log.child({ part: "volumes" });
    this.claims = new ClaimStore({ root: join(paths.lib, "volumes"), log: this.#log, ...options });
  }

  async prepare(pod: Pod, uid: string, lookup: ConfigLookup, signal: AbortSignal): Promise<PreparedVolume[]> {
    return await this.#alone(uid, "cannot prepare the volumes", async () => {
      const volumes: PreparedVolume[] = [];
      for (const volume of pod.spec.volumes ?? []) {
        signal.throwIfAborted();
        if (volume.image !== undefined) continue; // comes from the image store
        volumes.push(await this.#prepareOne(pod, uid, volume, lookup, signal));
      }
      return volumes;
    });
  }

  async refresh(pod: Pod, uid: string, lookup: ConfigLookup, signal: AbortSignal): Promise<void> {
    await this.#alone(uid, "cannot update the volumes", async () => {
      for (const volume of pod.spec.volumes ?? []) {
        signal.throwIfAborted();
        const config = this.#configVolume(pod, uid, volume, lookup);
        // One that is not prepared belongs to a pod that is gone or still to come.
        if (config === undefined || config.missing || !(await isWritten(config.dir))) continue;
        try {
          const payload = readableByGroup(config.payload(), fsGroupOf(pod));
          const changed = await writeAtomically(config.dir, payload, new Date());
          if (changed)
            this.#log.info({ pod: pod.metadata.name, volume: volume.name }, "the files of a volume were updated");
        } catch (error) {
          if (!isGantryError(error, "config-missing", "volume-failed")) throw error;
          this.#log.warn(
            { pod: pod.metadata.name, volume: volume.name, error: error.message },
            "a volume keeps its old files",
          );
        }
      }
    });
  }

  async remove(uid: string, signal: AbortSignal): Promise<void> {
    await this.#alone(uid, "cannot remove the volumes", async () => {
      await removeTree(join(this.#dirOf(uid), "volumes"), signal);
      await rmdir(this.#dirOf(uid)).catch(ignore("ENOENT", "ENOTEMPTY"));
      await removeTree(join(this.#secrets, uid), signal);
      await this.claims.release(uid, signal);
    });
    await this.#mutex.run(SECRETS, async () => {
      if ((await namesIn(this.#secrets)).length === 0) await removeTree(this.#secrets, signal);
    });
  }

  async list(): Promise<string[]> {
    const uids = new Set([...(await namesIn(this.#secrets)), ...(await this.claims.podUids())]);
    for (const uid of await namesIn(this.#pods)) {
      if ((await namesIn(this.#dirOf(uid))).includes("volumes")) uids.add(uid);
    }
    return [...uids].sort();
  }

  async usage(
    uid: string,
    volumes: readonly string[],
    unit: DiskUnit,
    elsewhere: ReadonlyMap<string, number> = new Map(),
  ): Promise<Readonly<Record<string, number>>> {
    const here = new Map(
      volumes.flatMap((name) => (elsewhere.has(name) ? [] : [[this.#volumeDir(uid, "emptyDir", name), name]])),
    );
    const used = await diskUsage([...here.keys()], unit);
    return Object.fromEntries([
      ...volumes.flatMap((name) => (elsewhere.has(name) ? [[name, elsewhere.get(name) ?? 0]] : [])),
      ...[...used].map(([dir, amount]) => [here.get(dir) ?? "", amount]),
    ]);
  }

  async #prepareOne(
    pod: Pod,
    uid: string,
    volume: PodVolume,
    lookup: ConfigLookup,
    signal: AbortSignal,
  ): Promise<PreparedVolume> {
    const { name } = volume;
    if (volume.hostPath !== undefined) {
      const hostPath = await prepareHostPath(name, volume.hostPath);
      return { name, kind: "hostPath", hostPath, ...(hasWriter(pod, name) ? {} : { readOnly: true }) };
    }
    if (volume.emptyDir !== undefined) {
      await this.#makePodDir(uid);
      const dir = this.#volumeDir(uid, "emptyDir", name);
      const prepared = await prepareEmptyDir(name, volume.emptyDir, pod, dir, signal);
      const group = fsGroupOf(pod);
      if (group === undefined) return prepared;
      await giveDirectory(dir, group.gid);
      return { ...prepared, gid: group.gid };
    }
    if (volume.persistentVolumeClaim !== undefined) {
      const { claimName, readOnly } = volume.persistentVolumeClaim;
      const claim = lookup.claim(claimName);
      if (claim === undefined) {
        throw new GantryError("config-missing", `persistentvolumeclaim "${claimName}" not found`, {
          hint: "The pod starts once a manifest has it (kind: PersistentVolumeClaim).",
          details: { volume: name, claim: claimName },
        });
      }
      const key = `${pod.metadata.namespace}/${pod.metadata.name}`;
      const mounted = await this.claims.mount(claim, { uid, key }, signal);
      await this.#giveToGroup(pod, mounted.path, readOnly === true || mounted.readOnly);
      const unwritten = readOnly === true || mounted.readOnly || !hasWriter(pod, name);
      return { name, kind: "claim", hostPath: mounted.path, ...(unwritten ? { readOnly: true } : {}) };
    }
    if (volume.ephemeral !== undefined) return await this.#prepareEphemeral(pod, uid, volume, signal);
    const config = this.#configVolume(pod, uid, volume, lookup);
    if (config === undefined) {
      const source = Object.keys(volume).find((key) => key !== "name") ?? "nothing";
      throw new GantryError("unsupported", `volume ${name}: ${source} is not supported yet`, {
        hint: "Supported are emptyDir, hostPath, configMap, secret, projected, downwardAPI, image, persistentVolumeClaim and ephemeral.",
      });
    }
    const payload = readableByGroup(config.payload(), fsGroupOf(pod));
    if (config.kind === "configMap") {
      await this.#makePodDir(uid);
      await mkdir(config.dir, { recursive: true, mode: 0o755 });
    } else await this.#mutex.run(SECRETS, () => this.#makeSecretDir(uid, config.dir, signal));
    await chmod(config.dir, 0o755);
    await writeAtomically(config.dir, payload, new Date());
    return { name, kind: config.kind, hostPath: config.dir };
  }

  async #giveToGroup(pod: Pod, dir: string, readOnly: boolean): Promise<void> {
    const group = fsGroupOf(pod);
    if (group !== undefined && !readOnly) await giveToGroup(dir, group);
  }

  /** A claim of the pod's own, which goes with it. */
  async #prepareEphemeral(pod: Pod, uid: string, volume: PodVolume, signal: AbortSignal): Promise<PreparedVolume> {
    const { name, ephemeral } = volume;
    const spec = ephemeral?.volumeClaimTemplate?.spec ?? {};
    const dir = this.#volumeDir(uid, "ephemeral", name);
    const [image, hostPath] = [join(dir, "data.ext4"), join(dir, "data")];
    await this.#makePodDir(uid);
    await mkdir(hostPath, { recursive: true, mode: 0o711 });
    const fresh = !(await namesIn(dir)).includes("used");
    const made = (await sizeOf(image)).bytes > 0;
    if (!made && !fresh) {
      throw new GantryError("volume-failed", `volume ${name}: its data is gone: ${image} is missing or empty`, {
        kind: "system",
        hint: "Put the file back, or delete the pod: its next one begins with an empty volume.",
      });
    }
    if (!made) await makeImage(image, imageBytes(requestedBytes(spec)), signal);
    await mountImage(image, hostPath, fresh, signal);
    if (fresh) await writeFile(join(dir, "used"), "");
    await this.#giveToGroup(pod, hostPath, false);
    const unwritten = isReadOnly(spec) || !hasWriter(pod, name);
    return { name, kind: "claim", hostPath, ...(unwritten ? { readOnly: true } : {}) };
  }

  #configVolume(pod: Pod, uid: string, volume: PodVolume, lookup: ConfigLookup): ConfigVolume | undefined {
    const { name, configMap, secret, downwardAPI, projected } = volume;
    const { namespace } = pod.metadata;
    if (configMap !== undefined) {
      const found = lookup.configMap(configMap.name);
      const payload = (): Payload => configMapPayload(name, configMap, namespace, found);
      return { kind: "configMap", dir: this.#volumeDir(uid, "configMap", name), missing: found === undefined, payload };
    }
    // In memory, as the kubelet does it: a projected volume may hold secrets.
    const inMemory = { kind: "secret", dir: join(this.#secrets, uid, name) } as const;
    if (secret !== undefined) {
      const found = lookup.secret(secret.secretName);
      const payload = (): Payload => secretPayload(name, secret, namespace, found);
      return { ...inMemory, missing: found === undefined, payload };
    }
    if (downwardAPI !== undefined) {
      const { items = [], defaultMode } = downwardAPI;
      return { ...inMemory, missing: false, payload: () => downwardPayload(name, items, defaultMode, lookup) };
    }
    if (projected === undefined) return undefined;
    return { ...inMemory, missing: false, payload: () => projectedPayload(name, projected, namespace, lookup) };
  }

  /** Others may pass through these directories, which pods with a user namespace need, but not look around. */
  async #makePodDir(uid: string): Promise<void> {
    await mkdir(join(this.#dirOf(uid), "volumes"), { recursive: true, mode: 0o711 });
  }

  async #makeSecretDir(uid: string, dir: string, signal: AbortSignal): Promise<void> {
    await mkdir(this.#secrets, { recursive: true, mode: 0o711 });
    // A directory that is on a disk now is from before a reboot, or its mount was taken away: nothing in it is ours.
    if (!(await isTmpfsMounted(this.#secrets)))
      await ensureTmpfs(this.#secrets, { mode: "0711", noSwap: true }, signal);
    await mkdir(join(this.#secrets, uid), { recursive: true, mode: 0o711 });
    await mkdir(dir, { recursive: true, mode: 0o755 });
  }

  #dirOf(uid: string): string {
    return join(this.#pods, uid);
  }

  #volumeDir(uid: string, kind: "emptyDir" | "configMap" | "ephemeral", name: string): string {
    return join(this.#dirOf(uid), "volumes", kind, name);
  }

  async #alone<T>(uid: string, what: string, work: () => Promise<T>): Promise<T> {
    // It becomes a part of paths that are removed one day.
    if (!/^[A-Za-z0-9][A-Za-z0-9._-]*$/.test(uid))
      throw new GantryError("internal", `${JSON.stringify(uid)} is no pod uid`, { kind: "system" });
    try {
      return await this.#mutex.run(`pod ${uid}`, work);
    } catch (error) {
      throw toGantryError(error, "volume-failed", what);
    }
  }
}

interface ConfigVolume {
  readonly kind: "configMap" | "secret";
  readonly dir: string;
  /** The object is not there; that may be fine at first (optional), and is never a reason to empty a volume. */
  readonly missing: boolean;
  /** @throws GantryError config-missing, volume-failed */
  payload(): Payload;
}

function ignore(...codes: string[]): (error: unknown) => void {
  return (error) => {
    if (!codes.includes(errnoOf(error) ?? "")) throw error;
  };
}

/** Whether some container may write to it. */
function hasWriter(pod: Pod, volume: string): boolean {
  const containers = [...(pod.spec.initContainers ?? []), ...pod.spec.containers];
  return containers.some(({ volumeMounts }) =>
    volumeMounts?.some((mount) => mount.name === volume && mount.readOnly !== true),
  );
}
