import { messageOf } from "../../../system/errors.ts";
import type { Logger } from "../../../system/log.ts";

/** What the pool must know of a VM that waits for a pod. */
export interface Waiting {
  /** Which pods it is good for. */
  readonly key: string;
  /** Name of its directory. */
  readonly id: string;
}

export interface StandbyPorts<Request extends { readonly key: string }, Vm extends Waiting> {
  /** How many are kept, one per shape of those last used; each takes memory. 0: none. */
  readonly keep: number;
  /** Nothing is made before the last start of a pod is so long ago, ms: it would only be in the way of the next. */
  readonly quietMs: number;
  readonly log: Logger;
  readonly build: (request: Request, signal: AbortSignal) => Promise<Vm>;
  readonly destroy: (vm: Vm) => Promise<void>;
  readonly isAlive: (vm: Vm) => boolean;
}

/** After one could not be made, none of its kind is tried again for so long, ms. */
const RETRY_MS = 300_000;

/**
 * VMs that were started and rehearsed ahead, each for the next pod of its shape: an emulator has translated by then what
 * the guest runs when a container starts, which takes three quarters of a clone's time. One is taken once, by one pod.
 */
export class Standbys<Request extends { readonly key: string }, Vm extends Waiting> {
  readonly #ports: StandbyPorts<Request, Vm>;
  readonly #waiting = new Map<string, Vm>();
  /** By key, the last used last. */
  readonly #wanted = new Map<string, Request>();
  readonly #failed = new Map<string, number>();
  readonly #closing = new AbortController();
  #starting = 0;
  #timer: NodeJS.Timeout | undefined;
  #filling: Promise<void> = Promise.resolve();

  constructor(ports: StandbyPorts<Request, Vm>) {
    this.#ports = ports;
  }

  get keep(): number {
    return this.#ports.keep;
  }

  /** Names of the directories of those that wait. */
  get ids(): ReadonlySet<string> {
    return new Set([...this.#waiting.values()].map(({ id }) => id));
  }

  /** A VM for a pod of that kind; it is the caller's from now on. */
  take(key: string): Vm | undefined {
    const vm = this.#waiting.get(key);
    this.#waiting.delete(key);
    if (vm === undefined || this.#ports.isAlive(vm)) return vm;
    void this.#destroy(vm); // killed by somebody
    return undefined;
  }

  /** Runs a start of a pod, which nothing of ours goes on beside. */
  async during<T>(start: () => Promise<T>): Promise<T> {
    this.#starting++;
    clearTimeout(this.#timer);
    try {
      return await start();
    } finally {
      this.#starting--;
      this.#schedule();
    }
  }

  /** A pod of that kind has come up: so may the next. */
  want(request: Request): void {
    if (this.#ports.keep === 0) return;
    this.#wanted.delete(request.key);
    this.#wanted.set(request.key, request);
    this.#schedule();
  }

  /** Ends all that wait, and what is being made. */
  async close(): Promise<void> {
    this.#closing.abort();
    clearTimeout(this.#timer);
    await this.#filling;
    await Promise.all([...this.#waiting.values()].map((vm) => this.#destroy(vm)));
    this.#waiting.clear();
  }

  #schedule(): void {
    clearTimeout(this.#timer);
    if (this.#starting > 0 || this.#closing.signal.aborted || this.#wanted.size === 0) return;
    this.#timer = setTimeout(() => {
      this.#filling = this.#filling.then(() => this.#fill());
    }, this.#ports.quietMs).unref();
  }

  async #fill(): Promise<void> {
    const { keep, build, log } = this.#ports;
    const kept = [...this.#wanted.values()].slice(-keep).reverse();
    for (const key of [...this.#wanted.keys()])
      if (!kept.some((request) => request.key === key)) this.#wanted.delete(key);
    for (const [key, vm] of this.#waiting) {
      if (this.#wanted.has(key) && this.#ports.isAlive(vm)) continue;
      this.#waiting.delete(key);
      await this.#destroy(vm);
    }
    for (const request of kept) {
      const { key } = request;
      if (this.#starting > 0 || this.#closing.signal.aborted) return;
      if (this.#waiting.has(key)) continue;
      if (performance.now() - (this.#failed.get(key) ?? Number.NEGATIVE_INFINITY) < RETRY_MS) continue;
      const begun = performance.now();
      try {
        const vm = await build(request, this.#closing.signal);
        this.#waiting.set(key, vm);
        log.info({ vm: vm.id, ms: Math.round(performance.now() - begun) }, "a micro-VM is on standby");
      } catch (error) {
        if (this.#closing.signal.aborted) return;
        this.#failed.set(key, performance.now());
        log.warn({ reason: messageOf(error) }, "no micro-VM on standby; the next pod's is cloned");
      }
    }
  }

  async #destroy(vm: Vm): Promise<void> {
    await this.#ports.destroy(vm).catch((error: unknown) => {
      this.#ports.log.warn({ vm: vm.id, reason: messageOf(error) }, "cannot remove a micro-VM on standby");
    });
  }
}
