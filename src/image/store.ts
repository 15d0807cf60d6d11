import { mkdir, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import type { Clock } from "../system/clock.ts";
import { GantryError, isGantryError, messageOf, toGantryError } from "../system/errors.ts";
import type { Logger } from "../system/log.ts";
import type { Paths } from "../system/paths.ts";
import { makeTempDir } from "../system/temp-dirs.ts";
import { HOST_ARCHITECTURE } from "./architecture.ts";
import { writeArchive } from "./archive.ts";
import type { Image, ImageStore, ImageTrust, PullOptions, VerifyResult } from "./contract.ts";
import { hexOf, keepBlobs, openStore, restoreBlobs, type StorePaths, storePaths, sweepOrphans } from "./disk.ts";
import { whyNoErofs } from "./erofs.ts";
import { type ImageRecord, IndexFile, toImage } from "./index-file.ts";
import { readImage, type Staged, writeBlob } from "./layout.ts";
import { DEFAULT_LIMITS, type Limits } from "./limits.ts";
import { withLock } from "./lock.ts";
import { findImage, findPulled, findTarget } from "./lookup.ts";
import { digestIn } from "./many.ts";
import { RootMounter, type RootSource } from "./mounter.ts";
import { normalizeName, parseReference } from "./name.ts";
import { toImageConfig } from "./oci.ts";
import { Downloads, PULL_MARK } from "./pull/downloads.ts";
import { type Pulled, Puller, type PullSettings, type Target } from "./pull/puller.ts";
import { type BuiltRoot, buildRoot, findRoot, keepRoot } from "./root.ts";
import { openSource, type Source } from "./source.ts";
import { listContents, proofOf, stage } from "./stage.ts";
import { blameFullDisk } from "./tools.ts";
import { UseTimes } from "./used.ts";
import { type Verified, verifyImage } from "./verify.ts";

export interface ImageStoreOptions {
  readonly paths: Paths;
  readonly log: Logger;
  readonly clock: Clock;
  /** Default `DEFAULT_LIMITS`. */
  readonly limits?: Limits;
  /** "auto" asks the host; "tree" keeps unpacked trees as on a host without EROFS. Default "auto". */
  readonly format?: "auto" | "tree";
  /** Default: everything may come in. */
  readonly trust?: ImageTrust;
  readonly pulls?: PullSettings;
}

/**
 * The image store on a local disk. Several processes may use one at once: what takes long happens in a temporary
 * directory of each, and only finished files are moved in, under a lock, the index last. So a crash leaves nothing
 * behind but files that the next start removes.
 */
export function createImageStore(options: ImageStoreOptions): ImageStore {
  return new LocalImageStore(options);
}

/** For work that several callers share: none of their signals may end it. */
const NEVER: AbortSignal = new AbortController().signal;

class LocalImageStore implements ImageStore {
  readonly #at: StorePaths;
  readonly #log: Logger;
  readonly #clock: Clock;
  readonly #limits: Limits;
  readonly #format: "auto" | "tree";
  readonly #index: IndexFile;
  readonly #mounter: RootMounter;
  /** Opening, and the trial of EROFS, happen at the first use; a failure is tried again by the next. */
  #opened: Promise<void> | undefined;
  #erofs: Promise<boolean> | undefined;
  readonly #mounting = new Map<string, Promise<string>>();
  readonly #used: UseTimes;
  readonly #downloads: Downloads;
  readonly #puller: Puller;

  constructor(options: ImageStoreOptions) {
    this.#at = storePaths(options.paths);
    this.#log = options.log.child({ part: "images" });
    this.#clock = options.clock;
    this.#limits = options.limits ?? DEFAULT_LIMITS;
    this.#format = options.format ?? "auto";
    this.#index = new IndexFile(this.#at.dir, this.#log);
    this.#mounter = new RootMounter(this.#at.mounts, this.#at.lockFile, this.#log);
    this.#used = new UseTimes(this.#at.used, () => this.#clock.now());
    this.#downloads = new Downloads(this.#at.downloads);
    this.#puller = new Puller({
      target: this.#pullTarget(),
      etc: options.paths.etc,
      trust: options.trust ?? { policyFile: async () => this.#at.policy, signers: async () => [] },
      limits: this.#limits,
      settings: options.pulls ?? {},
      clock: this.#clock,
    });
  }

  async resolve(name: string): Promise<Image | undefined> {
    const record = findImage(await this.#index.read(), name);
    return record && (await this.#image(record));
  }

  async list(): Promise<Image[]> {
    const records = await this.#index.read();
    const images = await Promise.all(records.map((record) => this.#image(record)));
    return images.sort((a, b) => compare(a.names[0] ?? "~", b.names[0] ?? "~") || compare(a.digest, b.digest));
  }

  async #image(record: ImageRecord): Promise<Image> {
    return toImage(record, await this.#used.of(hexOf(record.digest)));
  }

  async import(from: string | NodeJS.ReadableStream, name: string, signal: AbortSignal): Promise<Image> {
    if (parseReference(name).digest !== undefined) {
      throw new GantryError("name-invalid", `cannot import as ${name}: a digest is computed, not chosen`, {
        hint: "Give a name with a tag, e.g. localhost/hello:1.",
      });
    }
    const full = normalizeName(name);
    await this.#open();
    return await this.#inTemp(async (temp) => {
      const source = await openSource(from, temp, this.#limits, signal);
      const staged = await stage(source, { name: full, temp, policy: this.#at.policy, limits: this.#limits, signal });
      const held = await this.#held(staged.configDigest);
      const root = held ? undefined : await this.#build(staged, staged.layout, temp, signal);
      return await this.#image(await this.#commit(full, staged, root, signal));
    });
  }

  async importAll(from: string | NodeJS.ReadableStream, signal: AbortSignal): Promise<Image[]> {
    await this.#open();
    return await this.#inTemp(async (temp) => {
      const opened = await openSource(from, temp, this.#limits, signal);
      const { source, images } = await listContents(opened, temp, signal);
      const records: ImageRecord[] = [];
      for (const [at, names] of images.entries()) {
        const own = join(temp, String(at));
        await mkdir(own);
        records.push(await this.#importNamed(source, names, own, signal));
        await rm(own, { recursive: true, force: true });
      }
      return await Promise.all(records.map((record) => this.#image(record)));
    });
  }

  /** One image of an archive, by all of its names. */
  async #importNamed(
    source: Source,
    names: readonly string[],
    temp: string,
    signal: AbortSignal,
  ): Promise<ImageRecord> {
    const [first = "", ...others] = names;
    const staged = await stage(source, {
      name: first,
      temp,
      policy: this.#at.policy,
      limits: this.#limits,
      signal,
    }).catch((error: unknown) => Promise.reject(ofImage(error, first)));
    const held = await this.#held(staged.configDigest);
    const root = held ? undefined : await this.#build(staged, staged.layout, temp, signal);
    let record: ImageRecord | undefined;
    for (const name of [first, ...others]) {
      const digest = digestIn(name);
      const proof = digest === undefined ? undefined : await proofOf(source, digest, staged.manifestDigest);
      // A name with a digest is a promise about the content, which an archive can't make by itself.
      if (digest !== undefined && digest !== staged.manifestDigest && proof === undefined) continue;
      const documents = proof === undefined ? [] : [(await writeBlob(staged.layout, proof, "")).digest];
      record = await this.#commit(name, staged, record === undefined ? root : undefined, signal, {
        aliases: digest === undefined ? [] : [digest],
        documents,
      });
    }
    if (record !== undefined) return record;
    throw new GantryError("image-invalid", `the archive has other content for ${first} than its digest says`, {
      hint: "Import it under a name with a tag: gantry image import FILE NAME.",
    });
  }

  async *export(names: readonly string[], signal: AbortSignal): AsyncGenerator<Buffer, void, undefined> {
    const records = await this.#index.read();
    const targets = names.map((name) => findTarget(records, name));
    await this.#open();
    const temp = await makeTempDir(this.#at.temp);
    try {
      const wanted = targets.map(({ record, name }) => ({ record, names: name === undefined ? record.names : [name] }));
      yield* writeArchive(wanted, this.#at.blobs, temp, signal);
    } finally {
      await rm(temp, { recursive: true, force: true });
    }
  }

  async *verify(
    names: readonly string[],
    repair: boolean,
    signal: AbortSignal,
  ): AsyncGenerator<VerifyResult, void, undefined> {
    const records = await this.#index.read();
    const wanted = names.length === 0 ? records : names.map((name) => findTarget(records, name).record);
    await this.#open();
    for (const record of new Set(wanted)) {
      yield await verifyImage(record, this.#verified(), repair, signal);
    }
  }

  #verified(): Verified {
    return {
      blobs: this.#at.blobs,
      findRoot: (record) => this.#findRoot(record.digest),
      rebuild: async (record) => {
        const root = await this.#findRoot(record.digest);
        if (root !== undefined) await rm(root.path, { recursive: true, force: true });
        await this.#root(record);
        // What runs keeps the old one; whoever comes now gets the new one.
        await this.#mounter.unmount(hexOf(record.digest));
      },
      refetch: async (_record, origin, signal) => void (await this.#puller.again(origin, signal)),
    };
  }

  async pull(name: string, options: PullOptions): Promise<Image> {
    return await this.#puller.pull(normalizeName(name), options);
  }

  async close(): Promise<void> {
    await this.#puller.close();
  }

  async remove(
    nameOrDigest: string,
    inUse: (digest: string, name: string | undefined) => readonly string[],
  ): Promise<void> {
    const removed = await this.#locked(NEVER, async () => {
      const records = await this.#index.read();
      const { record, name } = findTarget(records, nameOrDigest);
      const others = name === undefined ? [] : record.names.filter((other) => other !== name);
      const users = inUse(record.digest, others.length > 0 ? name : undefined);
      if (users.length > 0) {
        throw new GantryError("image-in-use", `image ${name ?? record.digest} is in use by ${users.join(", ")}`, {
          hint: "Delete these pods first.",
          details: { digest: record.digest, users },
        });
      }
      if (others.length > 0) {
        await this.#index.write(records.map((each) => (each === record ? named(record, others) : each)));
        return undefined;
      }
      const rest = records.filter((each) => each !== record);
      await this.#index.write(rest);
      await sweepOrphans(this.#at, rest);
      return record.digest;
    });
    if (removed !== undefined) await this.#mounter.unmount(hexOf(removed));
  }

  async rootfs(digest: string, signal: AbortSignal): Promise<string> {
    const hex = hexOf(digest);
    await this.#used.note(hex);
    const mounted = await this.#mounter.mounted(hex);
    if (mounted !== undefined) return mounted;
    // Callers at the same time share the work, but each may stop waiting on its own.
    const pending = this.#mounting.get(hex) ?? this.#mount(digest, hex);
    this.#mounting.set(hex, pending);
    return await abortable(pending, signal);
  }

  async rootFile(digest: string, signal: AbortSignal): Promise<string> {
    await this.#open();
    await this.#used.note(hexOf(digest));
    const { type, path } = await abortable(this.#root(await this.#record(digest)), signal);
    if (type === "erofs") return path;
    throw new GantryError("host-unsupported", "this host cannot make EROFS files, which micro-VMs need", {
      hint: "Install erofs-utils, and see 'gantry doctor'; or use runtimeClassName: namespace.",
    });
  }

  async unmountUnused(used: ReadonlySet<string>): Promise<void> {
    for (const hex of await this.#mounter.list()) {
      if (used.has(`sha256:${hex}`) || this.#mounting.has(hex)) continue;
      try {
        await this.#mounter.unmount(hex);
      } catch (error) {
        this.#log.warn(
          { image: hex, error: messageOf(error) },
          "cannot unmount the root of an image; trying again later",
        );
      }
    }
    await this.#mounter.close();
  }

  #pullTarget(): Target {
    return {
      blobs: this.#at.blobs,
      downloads: this.#downloads,
      inTemp: async (work) => {
        await this.#open();
        return await this.#inTemp(work);
      },
      pulled: async (name, digest, policy) => {
        const record = findPulled(await this.#index.read(), name, digest, policy);
        return record !== undefined && (await this.#held(record.digest)) ? await this.#image(record) : undefined;
      },
      build: async (staged, temp, signal) =>
        (await this.#held(staged.configDigest)) ? undefined : await this.#build(staged, staged.layout, temp, signal),
      commit: async (staged, root, pulled, signal) =>
        await this.#image(await this.#commit(pulled.origin.name, staged, root, signal, pulled)),
    };
  }

  async #mount(digest: string, hex: string): Promise<string> {
    try {
      await this.#open();
      return await this.#mounter.mount(hex, await this.#root(await this.#record(digest)), NEVER);
    } finally {
      this.#mounting.delete(hex);
    }
  }

  async #record(digest: string): Promise<ImageRecord> {
    const record = (await this.#index.read()).find((each) => each.digest === digest);
    if (record !== undefined) return record;
    throw new GantryError("image-missing", `image ${digest} is not in the store`, {
      hint: "Import it: gantry image import FILE NAME",
    });
  }

  /** The image's root, built again from the blobs when it is lost, or of a kind that this host can't mount now. */
  async #root(record: ImageRecord): Promise<RootSource> {
    const { digest } = record;
    const root = await this.#findRoot(digest);
    if (root !== undefined) return root;
    this.#log.warn({ digest, names: record.names }, "the image's root is not there; building it again from its layers");
    return await this.#inTemp(async (temp) => {
      const built = await this.#build(await readImage(this.#at.dir, record.manifest), this.#at.dir, temp, NEVER);
      return await this.#locked(NEVER, async () => {
        const kept = await keepRoot(this.#at.roots, digest, built.source);
        const known = { rootDigest: built.digest, sizeBytes: built.sizeBytes };
        const records = await this.#index.read();
        await this.#index.write(records.map((each) => (each.digest === digest ? { ...each, ...known } : each)));
        return kept;
      });
    });
  }

  async #findRoot(digest: string): Promise<RootSource | undefined> {
    const found = (await this.#canErofs()) ? await findRoot(this.#at.roots, digest, "erofs") : undefined;
    return found ?? (await findRoot(this.#at.roots, digest, "tree"));
  }

  async #build(
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
      limits: this.#limits,
      erofs,
      log: this.#log,
      signal,
    });
  }

  async #held(digest: string): Promise<boolean> {
    if (!(await this.#index.read()).some((record) => record.digest === digest)) return false;
    return (
      (await findRoot(this.#at.roots, digest, "erofs")) !== undefined ||
      (await findRoot(this.#at.roots, digest, "tree")) !== undefined
    );
  }

  /** Moves everything in and writes the index last. Another process may have brought in the same image meanwhile. */
  async #commit(
    name: string,
    staged: Staged,
    root: BuiltRoot | undefined,
    signal: AbortSignal,
    pulled?: Pulled,
  ): Promise<ImageRecord> {
    const { configDigest: digest, manifest, config } = staged;
    if (config.architecture !== HOST_ARCHITECTURE) {
      this.#log.warn(
        { name, architecture: config.architecture },
        `the image is made for another architecture than this machine's (${HOST_ARCHITECTURE})`,
      );
    }
    return await this.#locked(signal, async () => {
      const records = await this.#index.read();
      const old = records.find((record) => record.digest === digest);
      if (old === undefined && root === undefined) {
        throw new GantryError("conflict", `image ${name} was removed while it was imported`, {
          hint: "Import it again.",
        });
      }
      const layers = manifest.layers.map((layer) => layer.digest);
      const record: ImageRecord = {
        digest,
        names: [...new Set([...(old?.names ?? []), name])].sort(),
        sizeBytes: root?.sizeBytes ?? old?.sizeBytes ?? 0,
        createdAt: old?.createdAt ?? this.#clock.now(),
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
        if (old === undefined) await keepBlobs(this.#at, staged.layout, record.blobs);
        else await restoreBlobs(this.#at, staged.layout, record.blobs);
        if (root !== undefined) await keepRoot(this.#at.roots, digest, root.source);
        const known = old?.names.includes(name) === true && pulled === undefined && root === undefined;
        if (!known) await this.#index.write(renamed(records, record));
      } catch (error) {
        await sweepOrphans(this.#at, records);
        throw error;
      }
      return record;
    });
  }

  #open(): Promise<void> {
    this.#opened ??= openStore(this.#at, this.#index, this.#log, (temp) => this.#salvage(temp)).catch(
      (error: unknown) => {
        this.#opened = undefined;
        throw error;
      },
    );
    return this.#opened;
  }

  /** A pull that was killed: whoever asks again goes on from what it had. */
  async #salvage(temp: string): Promise<void> {
    const now = this.#clock.now();
    if (await isFile(join(temp, PULL_MARK))) await this.#downloads.salvage(temp, now);
    await this.#downloads.expire(now);
  }

  async #canErofs(): Promise<boolean> {
    if (this.#format === "tree") return false;
    this.#erofs ??= this.#inTemp(async (temp) => {
      const why = await whyNoErofs(temp, NEVER);
      if (why !== undefined)
        this.#log.warn({ why }, "images are kept as unpacked trees, because EROFS files can't be used here");
      return why === undefined;
    }).catch((error: unknown) => {
      this.#erofs = undefined;
      throw error;
    });
    return await this.#erofs;
  }

  async #locked<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    await this.#open();
    return await withLock(this.#at.lockFile, signal, work);
  }

  async #inTemp<T>(work: (temp: string) => Promise<T>): Promise<T> {
    const temp = await makeTempDir(this.#at.temp).catch((error: unknown) =>
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
    ...others.map((each) => ({
      ...each,
      names: each.names.filter((name) => !record.names.includes(name)),
      origins: each.origins.filter(({ name }) => !record.names.includes(name)),
    })),
    record,
  ];
}

function named(record: ImageRecord, names: string[]): ImageRecord {
  return { ...record, names, origins: record.origins.filter((origin) => names.includes(origin.name)) };
}

function ofImage(error: unknown, name: string): unknown {
  if (!isGantryError(error, "image-invalid")) return error;
  const hint = error.hint === undefined ? {} : { hint: error.hint };
  return new GantryError("image-invalid", `${name}: ${error.message}`, { cause: error, ...hint });
}

async function isFile(path: string): Promise<boolean> {
  return await stat(path).then(
    (stats) => stats.isFile(),
    () => false,
  );
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** Waits for `work`, or stops waiting (not the work) when `signal` says so. */
async function abortable<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const onAbort = (): void =>
    reject(new GantryError("cancelled", "waiting for the image was cancelled", { kind: "system" }));
  if (signal.aborted) onAbort();
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    return await Promise.race([work, aborted]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}
