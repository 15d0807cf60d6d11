import { rm, stat } from "node:fs/promises";
import { join } from "node:path";
import type { Clock } from "../system/clock.ts";
import { GantryError, toGantryError } from "../system/errors.ts";
import type { Logger } from "../system/log.ts";
import type { Paths } from "../system/paths.ts";
import { makeTempDir } from "../system/temp-dirs.ts";
import { HOST_ARCHITECTURE } from "./architecture.ts";
import type { Image } from "./contract.ts";
import { hexOf, keepBlobs, openStore, restoreBlobs, type StorePaths, storePaths, sweepOrphans } from "./disk.ts";
import { whyNoErofs } from "./erofs.ts";
import { type ImageRecord, IndexFile, toImage } from "./index-file.ts";
import { readImage, type Staged } from "./layout.ts";
import { DEFAULT_LIMITS, type Limits } from "./limits.ts";
import { withLock } from "./lock.ts";
import type { RootSource } from "./mounter.ts";
import { toImageConfig } from "./oci.ts";
import { Downloads, PULL_MARK } from "./pull/downloads.ts";
import type { Pulled } from "./pull/puller.ts";
import { type BuiltRoot, buildRoot, findRoot, keepRoot } from "./root.ts";
import { blameFullDisk } from "./tools.ts";
import { UseTimes } from "./used.ts";

export interface ShelfOptions {
  readonly paths: Paths;
  readonly log: Logger;
  readonly clock: Clock;
  /** Default `DEFAULT_LIMITS`. */
  readonly limits?: Limits;
  /** "auto" asks the host; "tree" keeps unpacked trees as on a host without EROFS. Default "auto". */
  readonly format?: "auto" | "tree";
}

/** For work that several callers share: none of their signals may end it. */
const NEVER: AbortSignal = new AbortController().signal;

/** What the store has on the disk: its index, blobs and roots, and how images come into it, whole or not at all. */
export class Shelf {
  readonly at: StorePaths;
  readonly log: Logger;
  readonly clock: Clock;
  readonly limits: Limits;
  readonly index: IndexFile;
  readonly used: UseTimes;
  readonly downloads: Downloads;
  readonly #format: "auto" | "tree";
  /** Opening, and the trial of EROFS, happen at the first use; a failure is tried again by the next. */
  #opened: Promise<void> | undefined;
  #erofs: Promise<boolean> | undefined;

  constructor(options: ShelfOptions) {
    this.at = storePaths(options.paths);
    this.log = options.log.child({ part: "images" });
    this.clock = options.clock;
    this.limits = options.limits ?? DEFAULT_LIMITS;
    this.index = new IndexFile(this.at.dir, this.log);
    this.used = new UseTimes(this.at.used, () => this.clock.now());
    this.downloads = new Downloads(this.at.downloads);
    this.#format = options.format ?? "auto";
  }

  async image(record: ImageRecord): Promise<Image> {
    return toImage(record, await this.used.of(hexOf(record.digest)));
  }

  async record(digest: string): Promise<ImageRecord> {
    const record = (await this.index.read()).find((each) => each.digest === digest);
    if (record !== undefined) return record;
    throw new GantryError("image-missing", `image ${digest} is not in the store`, {
      hint: "Import it: gantry image import FILE NAME",
    });
  }

  /** The image's root, built again from the blobs when it is lost, or of a kind that this host can't mount now. */
  async root(record: ImageRecord): Promise<RootSource> {
    const { digest } = record;
    const root = await this.findRoot(digest);
    if (root !== undefined) return root;
    this.log.warn({ digest, names: record.names }, "the image's root is not there; building it again from its layers");
    return await this.inTemp(async (temp) => {
      const built = await this.build(await readImage(this.at.dir, record.manifest), this.at.dir, temp, NEVER);
      return await this.locked(NEVER, async () => {
        const kept = await keepRoot(this.at.roots, digest, built.source);
        const known = { rootDigest: built.digest, sizeBytes: built.sizeBytes };
        const records = await this.index.read();
        await this.index.write(records.map((each) => (each.digest === digest ? { ...each, ...known } : each)));
        return kept;
      });
    });
  }

  async findRoot(digest: string): Promise<RootSource | undefined> {
    const found = (await this.#canErofs()) ? await findRoot(this.at.roots, digest, "erofs") : undefined;
    return found ?? (await findRoot(this.at.roots, digest, "tree"));
  }

  async build(
    image: Pick<Staged, "manifest" | "config" | "configDigest">,
    layout: string,
    temp: string,
    signal: AbortSignal,
  ): Promise<BuiltRoot> {
    const { manifest, config, configDigest } = image;
    const diffIds = config.rootfs.diff_ids ?? [];
    const erofs = await this.#canErofs();
    return await buildRoot({
      digest: configDigest,
      layout,
      manifest,
      diffIds,
      temp,
      limits: this.limits,
      erofs,
      log: this.log,
      signal,
    });
  }

  async held(digest: string): Promise<boolean> {
    if (!(await this.index.read()).some((record) => record.digest === digest)) return false;
    return (
      (await findRoot(this.at.roots, digest, "erofs")) !== undefined ||
      (await findRoot(this.at.roots, digest, "tree")) !== undefined
    );
  }

  /** Moves everything in and writes the index last. Another process may have brought in the same image meanwhile. */
  async commit(
    name: string,
    staged: Staged,
    root: BuiltRoot | undefined,
    signal: AbortSignal,
    pulled?: Pulled,
  ): Promise<ImageRecord> {
    const { configDigest: digest, manifest, config } = staged;
    if (config.architecture !== HOST_ARCHITECTURE) {
      this.log.warn(
        { name, architecture: config.architecture },
        `the image is made for another architecture than this machine's (${HOST_ARCHITECTURE})`,
      );
    }
    return await this.locked(signal, async () => {
      const records = await this.index.read();
      const old = records.find((record) => record.digest === digest);
      if (old === undefined && root === undefined) {
        throw new GantryError("conflict", `image ${name} was removed while it was imported`, {
          hint: "Import it again.",
        });
      }
      const layers = manifest.layers.map((layer) => layer.digest);
      const record: ImageRecord = {
        digest,
        // One that is only looked at again may have lost its name to a newer one.
        names:
          pulled?.again === true && old !== undefined ? old.names : [...new Set([...(old?.names ?? []), name])].sort(),
        sizeBytes: root?.sizeBytes ?? old?.sizeBytes ?? 0,
        createdAt: old?.createdAt ?? this.clock.now(),
        architecture: config.architecture,
        config: toImageConfig(config),
        manifest: old?.manifest ?? staged.manifestDigest,
        blobs: [
          ...new Set([...(old?.blobs ?? [staged.manifestDigest, digest, ...layers]), ...(pulled?.documents ?? [])]),
        ],
        aliases: [...new Set([...(old?.aliases ?? []), ...(pulled?.aliases ?? [])])],
        // One that is imported under a name is not what was once pulled under it.
        origins: [
          ...(old?.origins ?? []).filter((one) => one.name !== name),
          ...(pulled?.origin ? [pulled.origin] : []),
        ],
        rootDigest: root === undefined ? old?.rootDigest : root.digest,
      };
      try {
        if (old === undefined) await keepBlobs(this.at, staged.layout, record.blobs);
        else await restoreBlobs(this.at, staged.layout, record.blobs);
        if (root !== undefined) await keepRoot(this.at.roots, digest, root.source);
        const known = old?.names.includes(name) === true && pulled === undefined && root === undefined;
        if (!known) await this.index.write(renamed(records, record));
      } catch (error) {
        await sweepOrphans(this.at, records);
        throw error;
      }
      return record;
    });
  }

  open(): Promise<void> {
    this.#opened ??= openStore(this.at, this.index, this.log, (temp) => this.#salvage(temp)).catch((error: unknown) => {
      this.#opened = undefined;
      throw error;
    });
    return this.#opened;
  }

  /** A pull that was killed: whoever asks again goes on from what it had. */
  async #salvage(temp: string): Promise<void> {
    const now = this.clock.now();
    if (await isFile(join(temp, PULL_MARK))) await this.downloads.salvage(temp, now);
    await this.downloads.expire(now);
  }

  async #canErofs(): Promise<boolean> {
    if (this.#format === "tree") return false;
    this.#erofs ??= this.inTemp(async (temp) => {
      const why = await whyNoErofs(temp, NEVER);
      if (why !== undefined)
        this.log.warn({ why }, "images are kept as unpacked trees, because EROFS files can't be used here");
      return why === undefined;
    }).catch((error: unknown) => {
      this.#erofs = undefined;
      throw error;
    });
    return await this.#erofs;
  }

  async locked<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    await this.open();
    return await withLock(this.at.lockFile, signal, work);
  }

  async inTemp<T>(work: (temp: string) => Promise<T>): Promise<T> {
    const temp = await makeTempDir(this.at.temp).catch((error: unknown) =>
      Promise.reject(toGantryError(error, "internal", "cannot write to the image store")),
    );
    try {
      return await work(temp);
    } catch (error) {
      throw await blameFullDisk(toGantryError(error, "internal", "the image store failed"), temp);
    } finally {
      await rm(temp, { recursive: true, force: true });
    }
  }
}

/** A name means one image: the one that had it before keeps its data, for the pods that run on it. */
function renamed(records: readonly ImageRecord[], record: ImageRecord): ImageRecord[] {
  const others = records.filter((each) => each.digest !== record.digest);
  return [
    ...others.map((each) => ({ ...each, names: each.names.filter((name) => !record.names.includes(name)) })),
    record,
  ];
}

async function isFile(path: string): Promise<boolean> {
  return await stat(path).then(
    (stats) => stats.isFile(),
    () => false,
  );
}
