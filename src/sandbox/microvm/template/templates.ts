import { createHash } from "node:crypto";
import { existsSync, statSync } from "node:fs";
import { mkdir, mkdtemp, rename, stat, utimes } from "node:fs/promises";
import { join } from "node:path";
import { errnoOf, messageOf } from "../../../system/errors.ts";
import type { Logger } from "../../../system/log.ts";
import { makeDirectory, namesIn, removeTree } from "../../namespace/files.ts";
import { identify } from "../../namespace/proc.ts";
import type { VmShape } from "../qemu/args.ts";

/** A booted VM that was stopped: clones go on from there. */
export interface Template {
  readonly key: string;
  /** The guest's memory. */
  readonly memory: string;
  /** CPUs and devices. */
  readonly state: string;
}

/** Everything that a template is only valid for. */
export interface TemplateFacts {
  readonly shape: VmShape;
  /** Kernel, initramfs, agent. */
  readonly bootHash: string;
  readonly accelerator: string;
  readonly qemu: string;
  /** The arguments of the template's own QEMU, without paths: machine, CPU model, devices. */
  readonly arguments: readonly string[];
}

export interface TemplatesOptions {
  readonly directory: string;
  /** How many are kept; each takes about the memory that a guest has touched. */
  readonly keep: number;
  readonly log: Logger;
  /** Boots a VM in `directory` with its memory in `memory`, and leaves its state in `state`; nothing of it runs on. */
  readonly build: (directory: string, template: Template, facts: TemplateFacts) => Promise<void>;
}

/** How the directory of a template begins while a process builds it. */
export const UNFINISHED = `.new-${process.pid}-`;

/** Whether the directory of that name was left behind by a process that was killed while it built a template. */
export function isAbandoned(name: string): boolean {
  const builder = /^\.new-(\d+)-/.exec(name)?.[1];
  return builder !== undefined && identify(Number(builder)) === undefined;
}

/** After a template could not be built, pods are cold booted for so long, in ms. */
const RETRY_MS = 300_000;

/** Templates, built at first need: by one, whoever asks, also among several processes. */
export class Templates {
  readonly #options: TemplatesOptions;
  readonly #building = new Map<string, Promise<Template | undefined>>();
  readonly #failed = new Map<string, number>();

  constructor(options: TemplatesOptions) {
    this.#options = options;
  }

  /** Undefined: none could be built; the reason was logged. */
  async get(facts: TemplateFacts): Promise<Template | undefined> {
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
    return { key, memory: join(directory, "memory"), state: join(directory, "state") };
  }

  async #build(key: string, facts: TemplateFacts): Promise<Template | undefined> {
    const { directory, build, log } = this.#options;
    const started = performance.now();
    await makeDirectory(directory, 0o700);
    const stage = await mkdtemp(join(directory, UNFINISHED));
    try {
      await mkdir(join(stage, "vm"));
      await build(join(stage, "vm"), this.#at(key, stage), facts);
      await removeTree(join(stage, "vm"));
      await rename(stage, join(directory, key)).catch((error: unknown) => {
        // Somebody else was faster: then his is as good.
        if (errnoOf(error) !== "ENOTEMPTY" && errnoOf(error) !== "EEXIST") throw error;
      });
      log.info({ template: key, shape: facts.shape, ms: Math.round(performance.now() - started) }, "built a template");
      await this.#evict(key);
      return this.#at(key);
    } catch (error) {
      this.#failed.set(key, performance.now());
      log.warn({ template: key, reason: messageOf(error) }, "no template for micro-VMs; they are booted one by one");
      return undefined;
    } finally {
      await removeTree(stage);
    }
  }

  async #evict(kept: string): Promise<void> {
    const { directory, keep } = this.#options;
    const names = (await namesIn(directory)).filter((name) => !name.startsWith(".") && name !== kept);
    const aged = await Promise.all(
      names.map(async (name) => ({ name, used: (await stat(join(directory, name))).mtimeMs })),
    );
    const excess = aged.sort((a, b) => b.used - a.used).slice(Math.max(0, keep - 1));
    for (const { name } of excess) await removeTree(join(directory, name));
  }
}

/** Changes whenever anything does that a template's state depends on. */
export function templateKey(facts: TemplateFacts): string {
  const { qemu, ...rest } = facts;
  return createHash("sha256")
    .update(JSON.stringify([rest, qemu, stampOf(qemu)]))
    .digest("hex")
    .slice(0, 24);
}

/** An upgrade of QEMU is another file. */
function stampOf(path: string): readonly number[] {
  if (!existsSync(path)) return [];
  const { ino, size, mtimeMs } = statSync(path);
  return [ino, size, mtimeMs];
}
