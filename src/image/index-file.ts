import { readFile, rename, stat } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { errnoOf, GantryError, toGantryError } from "../system/errors.ts";
import type { Logger } from "../system/log.ts";
import type { Image } from "./contract.ts";
import { writeDurably } from "./durable.ts";

const recordSchema = z.strictObject({
  digest: z.string(),
  names: z.array(z.string()),
  sizeBytes: z.number(),
  createdAt: z.number(),
  architecture: z.string(),
  config: z.strictObject({
    entrypoint: z.array(z.string()).readonly(),
    cmd: z.array(z.string()).readonly(),
    env: z.array(z.strictObject({ name: z.string(), value: z.string() })).readonly(),
    workingDir: z.string(),
    user: z.string(),
    stopSignal: z.string().optional(),
  }),
  /** Digest of the OCI manifest among the blobs. */
  manifest: z.string(),
  /** Digests by which registries know the image's manifest, in whatever format they have it. */
  aliases: z.array(z.string()).default([]),
  origins: z
    .array(
      z.strictObject({
        name: z.string(),
        digest: z.string(),
        pulledAt: z.number(),
        signers: z.array(z.string()).readonly(),
        policy: z.string(),
      }),
    )
    .default([]),
  /** Of the EROFS file: its content up to `sizeBytes`, beyond which it is a hole. Of a tree: as a tar of it. */
  rootDigest: z.string().optional(),
  /** Digests of every blob that belongs to it: manifest, config, layers. */
  blobs: z.array(z.string()),
});

/** One image as the index keeps it. */
export type ImageRecord = z.infer<typeof recordSchema>;

/** Version 1 had no origins and no digest of the root: both have defaults. */
const VERSION = 2;
const fileSchema = z.strictObject({ version: z.int().min(1).max(VERSION), images: z.array(recordSchema) });

/** What the rest of Gantry gets to see of a record. @param usedAt when its root was last asked for, ms */
export function toImage(record: ImageRecord, usedAt?: number): Image {
  const { digest, names, sizeBytes, createdAt, architecture, config, origins } = record;
  return {
    digest,
    names,
    sizeBytes,
    createdAt,
    architecture,
    config: { ...config, stopSignal: config.stopSignal },
    origins,
    lastUsedAt: Math.max(createdAt, usedAt ?? 0),
  };
}

/**
 * The list of images: a JSON file that is only ever replaced as a whole, with a copy in memory that is read anew
 * when the file is another one than before (another process may have changed it).
 */
export class IndexFile {
  readonly #file: string;
  readonly #temporary: string;
  readonly #log: Logger;
  #records: readonly ImageRecord[] = [];
  #stamp = "";

  constructor(dir: string, log: Logger) {
    this.#file = join(dir, "index.json");
    this.#temporary = join(dir, "index.json.new");
    this.#log = log;
  }

  /** @throws GantryError state-damaged (written by a newer version) */
  async read(): Promise<readonly ImageRecord[]> {
    const stamp = await this.#stampNow();
    if (stamp === this.#stamp) return this.#records;
    this.#records = stamp === "" ? [] : await this.#load();
    this.#stamp = stamp;
    return this.#records;
  }

  /** Only while holding the store's lock. */
  async write(records: readonly ImageRecord[]): Promise<void> {
    const content = JSON.stringify({ version: VERSION, images: records }, undefined, 1);
    await writeDurably(this.#file, `${content}\n`, this.#temporary).catch((error: unknown) => {
      throw toGantryError(error, "internal", "cannot write the image index");
    });
    this.#records = records;
    this.#stamp = await this.#stampNow();
  }

  /** Replacing the file changes its inode, so that even two changes within one tick of the clock are told apart. */
  async #stampNow(): Promise<string> {
    try {
      const { ino, mtimeNs, size } = await stat(this.#file, { bigint: true });
      return `${ino} ${mtimeNs} ${size}`;
    } catch (error) {
      if (errnoOf(error) === "ENOENT") return "";
      throw toGantryError(error, "state-damaged", "cannot read the image index");
    }
  }

  async #load(): Promise<readonly ImageRecord[]> {
    const text = await readFile(this.#file, "utf8");
    const damaged = async (why: string): Promise<readonly ImageRecord[]> => {
      const aside = `${this.#file}.damaged`;
      await rename(this.#file, aside);
      this.#log.error(
        { why, aside },
        "the image index was damaged and is set aside; import the images again, or mend the file and put it back",
      );
      return [];
    };
    let document: unknown;
    try {
      document = JSON.parse(text);
    } catch (error) {
      return await damaged(error instanceof Error ? error.message : String(error));
    }
    const newer = z.looseObject({ version: z.number().gt(VERSION) }).safeParse(document);
    if (newer.success) {
      throw new GantryError(
        "state-damaged",
        `the image index ${this.#file} was written by a newer Gantry (version ${newer.data.version} of its format)`,
        {
          hint: "Use that Gantry, or another --root.",
        },
      );
    }
    const result = fileSchema.safeParse(document);
    return result.success ? result.data.images : await damaged(z.prettifyError(result.error));
  }
}
