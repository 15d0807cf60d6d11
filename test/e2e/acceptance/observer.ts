import type { ChildProcess } from "node:child_process";
import { createInterface } from "node:readline";
import { startCli, type TestHost } from "../harness.ts";
import { Pod, type PodView, viewOf } from "./view.ts";

/** How much of a pod's past is kept for `never`. */
const KEEP = 200;

/** What `gantry status -w -o json` of a host has said: one process however many cases look on. */
export class Observer {
  readonly #child: ChildProcess;
  readonly #seen = new Map<string, PodView[]>();
  readonly #waiting = new Set<() => void>();
  #ended = false;

  constructor(host: TestHost) {
    this.#child = startCli(["status", "-w", "-o", "json"], { env: { GANTRY_ROOT: host.root } });
    const { stdout, stderr } = this.#child;
    if (stdout === null || stderr === null) throw new Error("gantry status has no pipes");
    stderr.resume();
    createInterface({ input: stdout }).on("line", (line) => this.#take(line));
    this.#child.on("close", () => {
      this.#ended = true;
      this.#wake();
    });
  }

  #take(line: string): void {
    const pod = Pod.parse(JSON.parse(line));
    const key = `${pod.metadata.namespace}/${pod.metadata.name}`;
    const before = this.#seen.get(key) ?? [];
    this.#seen.set(key, [...before.slice(-KEEP), viewOf(pod)]);
    this.#wake();
  }

  #wake(): void {
    for (const wake of [...this.#waiting]) wake();
  }

  /** As it was seen last; a pod that is gone stays as it was. */
  latest(namespace: string, name: string): PodView | undefined {
    return this.#seen.get(`${namespace}/${name}`)?.at(-1);
  }

  past(namespace: string, name: string): readonly PodView[] {
    return this.#seen.get(`${namespace}/${name}`) ?? [];
  }

  /** Until `judge` has no complaint about the pod. @throws Error with the last complaint */
  async until(
    namespace: string,
    name: string,
    judge: (pod: PodView | undefined) => string | undefined,
    deadlineMs: number,
  ): Promise<void> {
    const deadline = Date.now() + deadlineMs;
    for (;;) {
      const complaint = judge(this.latest(namespace, name));
      if (complaint === undefined) return;
      const left = deadline - Date.now();
      if (this.#ended) throw new Error(`gantry status -w has ended; pod ${name}: ${complaint}`);
      if (left <= 0) throw new Error(`pod ${name} did not come to be so in ${deadlineMs} ms: ${complaint}`);
      await this.#change(left);
    }
  }

  #change(limitMs: number): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        clearTimeout(timer);
        this.#waiting.delete(done);
        resolve();
      };
      const timer = setTimeout(done, limitMs);
      this.#waiting.add(done);
    });
  }

  async close(): Promise<void> {
    if (this.#ended) return;
    const closed = new Promise((resolve) => this.#child.once("close", resolve));
    this.#child.kill("SIGTERM");
    await closed;
  }
}
