import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { GantryError, messageOf } from "../system/errors.ts";
import type { Logger } from "../system/log.ts";
import { makeTempDir } from "../system/temp-dirs.ts";
import { writeArchive } from "./archive.ts";
import type { Image, ImageStore, ImageTrust, Origin, PullOptions, StoreUsage, VerifyResult } from "./contract.ts";
import { ACCEPT_ANYTHING, hexOf, sweepOrphans } from "./disk.ts";
import { importNamed } from "./import-named.ts";
import type { ImageRecord } from "./index-file.ts";
import { findImage, findPulled, findTarget } from "./lookup.ts";
import { RootMounter } from "./mounter.ts";
import { normalizeName, parseReference } from "./name.ts";
import { Puller, type PullSettings, type Target } from "./pull/puller.ts";
import { Shelf, type ShelfOptions } from "./shelf.ts";
import { openSource } from "./source.ts";
import { listContents, stage } from "./stage.ts";
import { measureUsage } from "./usage.ts";
import { type Verified, verifyImage } from "./verify.ts";

export interface ImageStoreOptions extends ShelfOptions {
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

/** Without a policy anything goes, as with skopeo's --insecure-policy: for commands that only look, and for tests. */
const TRUSTING: ImageTrust = {
  rule: async () => ({
    digest: "",
    policyText: ACCEPT_ANYTHING,
    explain: async (error) => error,
    verify: async () => [],
  }),
  check: async () => undefined,
};

/** For work that several callers share: none of their signals may end it. */
const NEVER: AbortSignal = new AbortController().signal;

class LocalImageStore implements ImageStore {
  readonly #shelf: Shelf;
  readonly #log: Logger;
  readonly #mounter: RootMounter;
  readonly #mounting = new Map<string, Promise<string>>();
  readonly #trust: ImageTrust;
  readonly #puller: Puller;

  constructor(options: ImageStoreOptions) {
    this.#shelf = new Shelf(options);
    this.#log = this.#shelf.log;
    const { at, limits, clock } = this.#shelf;
    this.#mounter = new RootMounter(at.mounts, at.lockFile, this.#log);
    this.#trust = options.trust ?? TRUSTING;
    this.#puller = new Puller({
      target: this.#pullTarget(),
      etc: options.paths.etc,
      trust: this.#trust,
      limits,
      settings: options.pulls ?? {},
      clock,
    });
  }

  async resolve(name: string): Promise<Image | undefined> {
    const record = findImage(await this.#shelf.index.read(), name);
    return record && (await this.#shelf.image(record));
  }

  async list(): Promise<Image[]> {
    const records = await this.#shelf.index.read();
    const images = await Promise.all(records.map((record) => this.#shelf.image(record)));
    return images.sort((a, b) => compare(a.names[0] ?? "~", b.names[0] ?? "~") || compare(a.digest, b.digest));
  }

  async import(
    from: string | NodeJS.ReadableStream,
    name: string,
    signal: AbortSignal,
    shownAs = "the standard input",
  ): Promise<Image> {
    if (parseReference(name).digest !== undefined) {
      throw new GantryError("name-invalid", `cannot import as ${name}: a digest is computed, not chosen`, {
        hint: "Give a name with a tag, e.g. localhost/hello:1.",
      });
    }
    const full = normalizeName(name);
    await this.#shelf.open();
    return await this.#shelf.inTemp(async (temp) => {
      const source = await openSource(from, shownAs, temp, this.#shelf.limits, signal);
      const staged = await stage(source, {
        name: full,
        temp,
        policy: this.#shelf.at.policy,
        limits: this.#shelf.limits,
        signal,
      });
      const held = await this.#shelf.held(staged.configDigest);
      const root = held ? undefined : await this.#shelf.build(staged, staged.layout, temp, signal);
      return await this.#shelf.image(await this.#shelf.commit(full, staged, root, signal));
    });
  }

  async importAll(
    from: string | NodeJS.ReadableStream,
    signal: AbortSignal,
    shownAs = "the standard input",
  ): Promise<Image[]> {
    await this.#shelf.open();
    return await this.#shelf.inTemp(async (temp) => {
      const opened = await openSource(from, shownAs, temp, this.#shelf.limits, signal);
      const { source, images } = await listContents(opened, temp, signal);
      const records: ImageRecord[] = [];
      for (const [at, names] of images.entries()) {
        const own = join(temp, String(at));
        await mkdir(own);
        records.push(await importNamed(this.#shelf, source, names, own, signal));
        await rm(own, { recursive: true, force: true });
      }
      return await Promise.all(records.map((record) => this.#shelf.image(record)));
    });
  }

  async *export(names: readonly string[], signal: AbortSignal): AsyncGenerator<Buffer, void, undefined> {
    const records = await this.#shelf.index.read();
    const targets = names.map((name) => findTarget(records, name));
    await this.#shelf.open();
    const temp = await makeTempDir(this.#shelf.at.temp);
    try {
      const wanted = targets.map(({ record, name }) => ({ record, names: name === undefined ? record.names : [name] }));
      yield* writeArchive(wanted, this.#shelf.at.blobs, temp, signal);
    } finally {
      await rm(temp, { recursive: true, force: true });
    }
  }

  async *verify(
    names: readonly string[],
    repair: boolean,
    signal: AbortSignal,
  ): AsyncGenerator<VerifyResult, void, undefined> {
    const records = await this.#shelf.index.read();
    const wanted = names.length === 0 ? records : names.map((name) => findTarget(records, name).record);
    await this.#shelf.open();
    for (const record of new Set(wanted)) {
      yield await verifyImage(record, this.#verified(), repair, signal);
    }
  }

  #verified(): Verified {
    return {
      blobs: this.#shelf.at.blobs,
      findRoot: (record) => this.#shelf.findRoot(record.digest),
      rebuild: async (record) => {
        const root = await this.#shelf.findRoot(record.digest);
        if (root !== undefined) await rm(root.path, { recursive: true, force: true });
        await this.#shelf.root(record);
        // What runs keeps the old one; whoever comes now gets the new one.
        await this.#mounter.unmount(hexOf(record.digest));
      },
      refetch: async (_record, origin, signal) => void (await this.#puller.again(origin, signal)),
    };
  }

  async pull(name: string, options: PullOptions): Promise<Image> {
    return await this.#puller.pull(normalizeName(name), options);
  }

  async trusted(name: string, image: Image): Promise<Origin | undefined> {
    return await this.#trust.check(name, image);
  }

  async usage(): Promise<StoreUsage> {
    return await measureUsage(this.#shelf);
  }

  async touch(digests: Iterable<string>): Promise<void> {
    for (const digest of digests) await this.#shelf.used.note(hexOf(digest));
  }

  async sweep(): Promise<number> {
    const { at, index, downloads, clock } = this.#shelf;
    return await this.#shelf.locked(
      NEVER,
      async () => (await sweepOrphans(at, await index.read())) + (await downloads.expire(clock.now())),
    );
  }

  async close(): Promise<void> {
    await this.#puller.close();
  }

  async remove(
    nameOrDigest: string,
    inUse: (digest: string, name: string | undefined) => readonly string[],
  ): Promise<void> {
    const removed = await this.#shelf.locked(NEVER, async () => {
      const records = await this.#shelf.index.read();
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
        await this.#shelf.index.write(records.map((each) => (each === record ? named(record, others) : each)));
        return undefined;
      }
      const rest = records.filter((each) => each !== record);
      await this.#shelf.index.write(rest);
      await sweepOrphans(this.#shelf.at, rest);
      return record.digest;
    });
    if (removed !== undefined) await this.#mounter.unmount(hexOf(removed));
  }

  async rootfs(digest: string, signal: AbortSignal): Promise<string> {
    const hex = hexOf(digest);
    await this.#shelf.used.note(hex);
    const mounted = await this.#mounter.mounted(hex);
    if (mounted !== undefined) return mounted;
    // Callers at the same time share the work, but each may stop waiting on its own.
    const pending = this.#mounting.get(hex) ?? this.#mount(digest, hex);
    this.#mounting.set(hex, pending);
    return await abortable(pending, signal);
  }

  async rootFile(digest: string, signal: AbortSignal): Promise<string> {
    await this.#shelf.open();
    await this.#shelf.used.note(hexOf(digest));
    const { type, path } = await abortable(this.#shelf.root(await this.#shelf.record(digest)), signal);
    if (type === "erofs") return path;
    throw new GantryError("host-unsupported", "this host cannot make EROFS files, which micro-VMs need", {
      hint: "Install erofs-utils, and see 'gantry doctor'; or use runtimeClassName: namespace.",
    });
  }

  async settled(): Promise<void> {
    await Promise.allSettled(this.#mounting.values());
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
      blobs: this.#shelf.at.blobs,
      downloads: this.#shelf.downloads,
      inTemp: async (work) => {
        await this.#shelf.open();
        return await this.#shelf.inTemp(work);
      },
      pulled: async (name, digest, policy) => {
        const record = findPulled(await this.#shelf.index.read(), name, digest, policy);
        return record !== undefined && (await this.#shelf.held(record.digest))
          ? await this.#shelf.image(record)
          : undefined;
      },
      build: async (staged, temp, signal) =>
        (await this.#shelf.held(staged.configDigest))
          ? undefined
          : await this.#shelf.build(staged, staged.layout, temp, signal),
      commit: async (staged, root, pulled, signal) =>
        await this.#shelf.image(await this.#shelf.commit(pulled.origin.name, staged, root, signal, pulled)),
    };
  }

  async #mount(digest: string, hex: string): Promise<string> {
    try {
      await this.#shelf.open();
      return await this.#mounter.mount(hex, await this.#shelf.root(await this.#shelf.record(digest)), NEVER);
    } finally {
      this.#mounting.delete(hex);
    }
  }
}

function named(record: ImageRecord, names: string[]): ImageRecord {
  return { ...record, names, origins: record.origins.filter((origin) => names.includes(origin.name)) };
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
