import { mkdir, readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { errnoOf } from "../system/errors.ts";
import { conflistSchema } from "./conflist.ts";
import { writeAtomically } from "./files.ts";
import { cniResultSchema } from "./result.ts";

/** What was, or was about to be, done for a sandbox: enough to undo it, whatever the conflist says by then. */
const recordSchema = z.object({
  version: z.literal(1),
  sandboxId: z.string(),
  podNamespace: z.string(),
  podName: z.string(),
  netns: z.string(),
  conflist: conflistSchema,
  portMappings: z.array(
    z.object({
      hostIP: z.string().exactOptional(),
      hostPort: z.int(),
      containerPort: z.int(),
      protocol: z.enum(["TCP", "UDP", "SCTP"]),
    }),
  ),
  /** True when Gantry's nft table maps the ports, false when a plugin does. */
  ownPorts: z.boolean(),
  /** Absent until ADD has succeeded. */
  result: cniResultSchema.exactOptional(),
});
export type AttachmentRecord = z.infer<typeof recordSchema>;

/** One file per sandbox; a copy in memory, as there is one writer per root. */
export class Records {
  readonly #folder: string;
  readonly #onDamage: (file: string) => void;
  readonly #known = new Map<string, AttachmentRecord>();
  readonly #damaged = new Set<string>();
  #loading: Promise<void> | undefined;

  constructor(folder: string, onDamage: (file: string) => void) {
    this.#folder = folder;
    this.#onDamage = onDamage;
  }

  /** Reads the folder, once. A damaged file stays, as the only sign of its sandbox, until `remove`. */
  load(): Promise<void> {
    this.#loading ??= this.#read().catch((error: unknown) => {
      this.#loading = undefined;
      throw error;
    });
    return this.#loading;
  }

  all(): AttachmentRecord[] {
    return [...this.#known.values()];
  }

  get(sandboxId: string): AttachmentRecord | undefined {
    return this.#known.get(sandboxId);
  }

  /** Sandboxes whose record can't be read: something was done for them, nobody knows what. */
  damaged(): ReadonlySet<string> {
    return this.#damaged;
  }

  /** Waits for nothing, so that two callers can't both claim a port. */
  put(record: AttachmentRecord): void {
    writeAtomically(this.#file(record.sandboxId), JSON.stringify(record));
    this.#known.set(record.sandboxId, record);
    this.#damaged.delete(record.sandboxId);
  }

  async remove(sandboxId: string): Promise<void> {
    await rm(this.#file(sandboxId), { force: true });
    this.#known.delete(sandboxId);
    this.#damaged.delete(sandboxId);
  }

  /** Reads the folder again at the next `load`. */
  forget(): void {
    this.#known.clear();
    this.#damaged.clear();
    this.#loading = undefined;
  }

  #file(sandboxId: string): string {
    return join(this.#folder, `${sandboxId}.json`);
  }

  async #read(): Promise<void> {
    await mkdir(this.#folder, { recursive: true, mode: 0o700 });
    for (const name of await readdir(this.#folder)) {
      const file = join(this.#folder, name);
      if (!name.endsWith(".json")) {
        await rm(file, { force: true }); // left by a write that was cut short
        continue;
      }
      const record = parseRecord(
        await readFile(file, "utf8").catch((error: unknown) =>
          errnoOf(error) === "ENOENT" ? "" : Promise.reject(error),
        ),
      );
      if (record !== undefined && `${record.sandboxId}.json` === name) {
        this.#known.set(record.sandboxId, record);
      } else {
        this.#damaged.add(name.slice(0, -".json".length));
        this.#onDamage(file);
      }
    }
  }
}

function parseRecord(text: string): AttachmentRecord | undefined {
  try {
    return recordSchema.parse(JSON.parse(text));
  } catch {
    return undefined;
  }
}
