import { type ClientRequest, request } from "node:http";
import { createInterface } from "node:readline";
import { z } from "zod";
import { PodView } from "../e2e/harness/pods.ts";

const Change = z.object({ type: z.enum(["ADDED", "MODIFIED", "DELETED"]), object: PodView });

/** A pod as it was at some moment; undefined once it is gone. */
export type PodAt = PodView | undefined;

interface Waiter {
  readonly name: string;
  readonly accept: (pod: PodAt) => boolean;
  readonly resolve: (at: number) => void;
}

/** Follows the daemon's pods and takes the time (ms, as performance.now) at which something becomes true. */
export class PodWatch {
  readonly #pods = new Map<string, PodView>();
  #waiters: Waiter[] = [];
  readonly #request: ClientRequest;

  private constructor(call: ClientRequest) {
    this.#request = call;
  }

  static async open(socketPath: string): Promise<PodWatch> {
    const call = request({ socketPath, path: "/api/v1/pods?watch=true" });
    const watch = new PodWatch(call);
    await new Promise<void>((resolve, reject) => {
      call.on("error", reject);
      call.on("response", (response) => {
        const lines = createInterface({ input: response });
        lines.on("line", (line) => watch.#take(line));
        // The daemon ended, or we did: whoever waits for something runs into its deadline.
        lines.on("error", () => lines.close());
        resolve();
      });
      call.end();
    });
    return watch;
  }

  #take(line: string): void {
    const now = performance.now();
    if (line.trim() === "") return;
    const { type, object } = Change.parse(JSON.parse(line));
    const { name } = object.metadata;
    if (type === "DELETED") this.#pods.delete(name);
    else this.#pods.set(name, object);
    const pod = this.#pods.get(name);
    this.#waiters = this.#waiters.filter((waiter) => {
      if (waiter.name !== name || !waiter.accept(pod)) return true;
      waiter.resolve(now);
      return false;
    });
  }

  get(name: string): PodAt {
    return this.#pods.get(name);
  }

  /** @returns when `accept` became true. @throws Error after `deadlineMs` */
  when(name: string, accept: (pod: PodAt) => boolean, what: string, deadlineMs = 60_000): Promise<number> {
    if (accept(this.get(name))) return Promise.resolve(performance.now());
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        const status = JSON.stringify(this.get(name)?.status);
        reject(new Error(`pod ${name} was not ${what} within ${deadlineMs} ms: ${status}`));
      }, deadlineMs);
      const done = (at: number): void => {
        clearTimeout(timer);
        resolve(at);
      };
      this.#waiters.push({ name, accept, resolve: done });
    });
  }

  close(): void {
    this.#request.destroy();
  }
}
