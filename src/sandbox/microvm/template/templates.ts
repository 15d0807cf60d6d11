import { createHash } from "node:crypto";
import { existsSync, statSync } from "node:fs";
import { mkdir, rename, stat, utimes } from "node:fs/promises";
import { join } from "node:path";
import { errnoOf, messageOf } from "../../../system/errors.ts";
import type { Logger } from "../../../system/log.ts";
import { namesIn, removeTree } from "../../namespace/files.ts";
import type { VmPlan } from "../plan.ts";
import { openStage } from "./stage.ts";

/** A booted VM that was stopped: clones go on from there. */
export interface Template {
  readonly key: string;
  /** The guest's memory. */
  readonly memory: string;
  /** CPUs and devices. */
  readonly state: string;
  /** The scratch disk, which the guest has mounted. */
  readonly scratch: string;
}

/** Everything that a template is only valid for. */
export interface TemplateFacts {
  readonly plan: VmPlan;
  readonly qemu: string;
  /** The arguments of the template's own QEMU, without paths: machine, CPU model, devices. */
  readonly arguments: readonly string[];
}

export interface TemplatesOptions {
  readonly directory: string;
  /** How many are kept; each takes about the memory that a guest has touched. 0: none is made. */
  readonly keep: number;
  /** What they may take together, in bytes. */
  readonly maxBytes: number;
  readonly log: Logger;
  /** Boots a VM in `directory` with its memory in `memory`, and leaves its state in `state`; nothing of it runs on. */
  readonly build: (directory: string, template: Template, facts: TemplateFacts, signal: AbortSignal) => Promise<void>;
}

/** After a template could not be built, pods are cold booted for so long, in ms. */
const RETRY_MS = 300_000;

/** Templates, built at first need: by one, whoever asks, also among several processes. */
export class Templates {
  readonly #options: TemplatesOptions;
  readonly #building = new Map<string, Promise<Template | undefined>>();
  readonly #failed = new Map<string, number>();
  readonly #closing = new AbortController();

  constructor(options: TemplatesOptions) {
    this.#options = options;
  }

  /** Undefined: none could be built; the reason was logged. */
  async get(facts: TemplateFacts): Promise<Template | undefined> {
    if (this.#options.keep === 0) return undefined;
    const key = templateKey(facts);
    const ready = await this.#find(key);
    if (ready !== undefined) return ready;
    if (performance.now() - (this.#failed.get(key) ?? Number.NEGATIVE_INFINITY) < RETRY_MS) return undefined;
    const pending = this.#building.get(key) ?? this.#build(key, facts).finally(() => this.#building.delete(key));
    this.#building.set(key, pending);
    return await pending;
  }

  /** One that does not restore is of no use to anybody. */
  async discard(template: Template): Promise<void> {
    this.#failed.set(template.key, performance.now());
    await removeTree(join(this.#options.directory, template.key));
  }

  /** Calls off what is being built. */
  async close(): Promise<void> {
    this.#closing.abort();
    await Promise.allSettled(this.#building.values());
  }

  /** Removes all of them. VMs that were cloned from one keep its memory as long as they live. */
  async clear(): Promise<void> {
    await removeTree(this.#options.directory);
  }

  async #find(key: string): Promise<Template | undefined> {
    const template = this.#at(key);
    try {
      const now = new Date();
      await utimes(join(this.#options.directory, key), now, now); // the one longest unused goes first
      return template;
    } catch (error) {
      if (errnoOf(error) === "ENOENT") return undefined;
      throw error;
    }
  }

  #at(key: string, directory = join(this.#options.directory, key)): Template {
    const at = (name: string): string => join(directory, name);
    return { key, memory: at("memory"), state: at("state"), scratch: at("scratch") };
  }

  async #build(key: string, facts: TemplateFacts): Promise<Template | undefined> {
    const { directory, build, log } = this.#options;
    const started = performance.now();
    await using stage = await openStage(directory);
    try {
      await mkdir(join(stage.path, "vm"));
      await build(join(stage.path, "vm"), this.#at(key, stage.path), facts, this.#closing.signal);
      await removeTree(join(stage.path, "vm"));
      await rename(stage.path, join(directory, key)).catch((error: unknown) => {
        // Somebody else was faster: then his is as good.
        if (errnoOf(error) !== "ENOTEMPTY" && errnoOf(error) !== "EEXIST") throw error;
      });
      const { memoryMiB, vcpus } = facts.plan.shape;
      log.info({ template: key, memoryMiB, vcpus, ms: Math.round(performance.now() - started) }, "built a template");
      await this.#evict(key);
      return this.#at(key);
    } catch (error) {
      if (this.#closing.signal.aborted) return undefined;
      this.#failed.set(key, performance.now());
      log.warn({ template: key, reason: messageOf(error) }, "no template for micro-VMs; they are booted one by one");
      return undefined;
    }
  }

  /** Those longest unused go, until the others are few and small enough. `kept` stays. */
  async #evict(kept: string): Promise<void> {
    const { directory, keep, maxBytes } = this.#options;
    const names = (await namesIn(directory)).filter((name) => !name.startsWith("."));
    const all = await Promise.all(
      names.map(async (name) => ({
        name,
        used: name === kept ? Number.POSITIVE_INFINITY : (await stat(join(directory, name))).mtimeMs,
        bytes: await sizeOf(join(directory, name)),
      })),
    );
    let [count, bytes] = [0, 0];
    for (const template of all.sort((a, b) => b.used - a.used)) {
      count++;
      bytes += template.bytes;
      if (template.name === kept || (count <= keep && bytes <= maxBytes)) continue;
      await removeTree(join(directory, template.name));
    }
  }
}

/** Bytes of memory that a template takes: its files have holes. */
async function sizeOf(directory: string): Promise<number> {
  const sizes = await Promise.all(
    (await namesIn(directory)).map(async (name) => (await stat(join(directory, name))).blocks * 512),
  );
  return sizes.reduce((sum, size) => sum + size, 0);
}

/** Changes whenever anything does that a template's state depends on. */
export function templateKey({ plan, qemu, arguments: args }: TemplateFacts): string {
  const { shape, machine, accelerator, boot } = plan;
  return createHash("sha256")
    .update(JSON.stringify([shape, machine, accelerator, boot.hash, args, qemu, stampOf(qemu)]))
    .digest("hex")
    .slice(0, 24);
}

/** An upgrade of QEMU is another file. */
function stampOf(path: string): readonly number[] {
  if (!existsSync(path)) return [];
  const { ino, size, mtimeMs } = statSync(path);
  return [ino, size, mtimeMs];
}
