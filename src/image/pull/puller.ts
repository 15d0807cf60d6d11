import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Clock } from "../../system/clock.ts";
import { toGantryError } from "../../system/errors.ts";
import { KeyedMutex } from "../../system/keyed-mutex.ts";
import { createLimiter, type Limiter } from "../../system/limiter.ts";
import { SharedWork } from "../../system/shared-work.ts";
import type { Image, ImageTrust, Origin, PullOptions, PullProgress } from "../contract.ts";
import { type Staged, writeBlob } from "../layout.ts";
import type { Limits } from "../limits.ts";
import { registryOf } from "../name.ts";
import type { BuiltRoot } from "../root.ts";
import { blameFullDisk } from "../tools.ts";
import type { Downloads } from "./downloads.ts";
import { ask, type FetchOptions, fetchImage, preparePull } from "./pull.ts";
import { signaturesOf } from "./signatures.ts";

/** How images are pulled; see the configuration. */
export interface PullSettings {
  /** From one registry at once. Default 3. */
  readonly perRegistry?: number;
  /** A pull in which no byte arrives for this long is given up, ms. Default 5 min. */
  readonly stallMs?: number;
}

/** What a pull needs of the store that it pulls into. */
export interface Target {
  readonly blobs: string;
  readonly downloads: Downloads;
  /** Opens the store, and gives the work a directory that is gone afterwards. */
  inTemp<T>(work: (temp: string) => Promise<T>): Promise<T>;
  /** The image, when it is held and this is what was pulled last under the name, by the same policy. */
  pulled(name: string, digest: string, policy: string): Promise<Image | undefined>;
  /** Builds the root of an image, unless the store has it. */
  build(staged: Staged, temp: string, signal: AbortSignal): Promise<BuiltRoot | undefined>;
  commit(
    staged: Staged,
    root: BuiltRoot | undefined,
    pulled: Pulled & { readonly origin: Origin },
    signal: AbortSignal,
  ): Promise<Image>;
}

/** What is noted of an image that was pulled. */
export interface Pulled {
  readonly origin?: Origin;
  /** Digests by which the registry knows it. */
  readonly aliases: readonly string[];
  /** Digests of documents among the staged blobs that are no part of the image itself, but are kept with it. */
  readonly documents: readonly string[];
  /** It is held, and was fetched again by its digest: its names stay as they are. */
  readonly again?: boolean;
}

export interface PullerOptions {
  readonly target: Target;
  /** Gantry's configuration directory. */
  readonly etc: string;
  readonly trust: ImageTrust;
  readonly limits: Limits;
  readonly settings: PullSettings;
  readonly clock: Clock;
}

type Call = Pick<FetchOptions, "name" | "credentials" | "digest" | "signal" | "report">;

/** Pulls, each once for all who want it at the same time, and only so many at once from one registry. */
export class Puller {
  readonly #options: PullerOptions;
  readonly #pulls = new SharedWork<Image, PullProgress>();
  /** The same name with other passwords: one after the other, as the second finds all layers here. */
  readonly #order = new KeyedMutex();
  readonly #registries = new Map<string, Limiter>();

  constructor(options: PullerOptions) {
    this.#options = options;
  }

  /** @param name full name. @throws GantryError as `ImageStore.pull` tells */
  async pull(name: string, { credentials = [], digest, onProgress, signal }: PullOptions): Promise<Image> {
    // Whoever has no password must not get what another one's has fetched.
    const key = JSON.stringify([name, credentials, digest]);
    const work = (stop: AbortSignal, report: (progress: PullProgress) => void): Promise<Image> => {
      report({ stage: "waiting", bytes: 0, totalBytes: 0, layers: 0, totalLayers: 0 });
      const pull = (): Promise<Image> => this.#pull({ name, credentials, digest, signal: stop, report });
      return this.#order.run(name, () => this.#registry(registryOf(name)).run(pull, stop));
    };
    return await this.#pulls.run(key, work, signal, onProgress);
  }

  /** Fetches what the store lacks of an image that was pulled before: the very same, by its digest. */
  async again(origin: Origin, signal: AbortSignal): Promise<Image> {
    const { name, digest } = origin;
    return await this.#pull({ name, digest, credentials: [], signal, report: () => {} }, origin);
  }

  async close(): Promise<void> {
    await this.#pulls.close();
  }

  /** @param again the image is held, but damaged: what is noted of it stays as it is */
  async #pull(call: Call, again?: Origin): Promise<Image> {
    const { target, trust, etc, limits, settings, clock } = this.#options;
    const { name, signal } = call;
    const rule = await trust.rule(name);
    return await target.inTemp(async (temp) => {
      const policy = join(temp, "policy.json");
      await writeFile(policy, rule.policyText);
      const options = { ...call, temp, etc, policy, limits, stallMs: settings.stallMs ?? 300_000, clock };
      await preparePull(options);
      const asked = await ask(options);
      const { digest, digests, index } = asked.remote;
      const same = again ? undefined : await target.pulled(name, digest, rule.digest);
      if (same !== undefined) return same;
      const { staged, root } = await this.#fetch(options, () =>
        fetchImage(asked, target.blobs, target.downloads, options).catch(async (error: unknown) =>
          Promise.reject(await rule.explain(error)),
        ),
      );
      const signers = await rule.verify(digests, signaturesOf(asked, name, signal));
      const origin = again ?? { name, digest, pulledAt: clock.now(), signers, policy: rule.digest };
      const documents = index === undefined ? [] : [(await writeBlob(staged.layout, index, "")).digest];
      const image = await target.commit(
        staged,
        root,
        { origin, aliases: digests, documents, again: call.digest !== undefined },
        signal,
      );
      await target.downloads.drop(staged.manifest.layers.map((layer) => layer.digest));
      return image;
    });
  }

  /** Copies and unpacks; what has arrived before a failure is kept for the next try. */
  async #fetch(
    { temp, signal, report }: FetchOptions,
    copy: () => Promise<Staged>,
  ): Promise<{ staged: Staged; root: BuiltRoot | undefined }> {
    const { target, clock } = this.#options;
    try {
      const staged = await copy();
      const bytes = staged.manifest.layers.reduce((sum, { size }) => sum + size, 0);
      const layers = staged.manifest.layers.length;
      report({ stage: "unpacking", bytes, totalBytes: bytes, layers, totalLayers: layers });
      return { staged, root: await target.build(staged, temp, signal) };
    } catch (error) {
      const told = await blameFullDisk(toGantryError(error, "internal", "the image store failed"), temp);
      // Not where it would keep the disk full, or is what can't be unpacked.
      if (told.code !== "disk-full" && told.code !== "image-invalid") await target.downloads.salvage(temp, clock.now());
      throw told;
    }
  }

  #registry(host: string): Limiter {
    const known = this.#registries.get(host) ?? createLimiter(this.#options.settings.perRegistry ?? 3);
    this.#registries.set(host, known);
    return known;
  }
}
