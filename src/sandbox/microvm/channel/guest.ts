import { setTimeout as sleep } from "node:timers/promises";
import { GantryError, messageOf } from "../../../system/errors.ts";
import { type ControlRequest, type Field, type GuestContainer, type HelloReply, parseList } from "../protocol/index.ts";
import { type AgentEvent, AgentLink, violation } from "./link.ts";
import { type WatchdogOptions, watchAgent } from "./watchdog.ts";

const RECONNECT_MS = 50;
/** Far more than a guest has room for. */
const MAX_KNOWN = 1024;

/** How a VM has come to where it is: what to expect of its agent. */
export type Coming = "booting" | "cloned" | "running";
/**
 * While a VM boots nobody answers, and what is sent waits. In a clone the agent may hear of the connection only after
 * the first bytes, and forgets them then.
 */
const HELLO: Readonly<Record<Coming, { readonly retryMs: number; readonly fill: boolean }>> = {
  booting: { retryMs: 5000, fill: false },
  cloned: { retryMs: 15, fill: false },
  running: { retryMs: 500, fill: true },
};

export interface GuestOptions extends WatchdogOptions {
  readonly socket: string;
  /** Something about a container has changed, or the link came or went. */
  readonly onChange: () => void;
  readonly onExit: (container: GuestContainer) => void;
  /** The link was lost, or could not be made: the agent has broken it, or QEMU has ended. */
  readonly onLost: () => void;
  /** The agent has broken the protocol; nobody connects to it again by himself. */
  readonly onHostile: (why: string) => void;
}

/**
 * What goes on in a guest, as its agent tells: kept up to date by events, and read anew with every connection. Lost
 * connections are made again until `close`.
 */
export class Guest {
  readonly #options: GuestOptions;
  readonly #closed = new AbortController();
  #opening: Promise<AgentLink> | undefined;
  #link: AgentLink | undefined;
  #known: ReadonlyMap<string, GuestContainer> | undefined;
  #pushes: Promise<unknown> = Promise.resolve();
  #unwatch: (() => void) | undefined;
  hello: HelloReply | undefined;

  constructor(options: GuestOptions) {
    this.#options = options;
  }

  /** Containers by id; undefined while there is no connection. */
  get known(): ReadonlyMap<string, GuestContainer> | undefined {
    return this.#link?.alive === true ? this.#known : undefined;
  }

  /** The link; connects first where there is none. @throws GantryError cancelled, runtime-failed */
  async link(signal: AbortSignal, coming: Coming = "running"): Promise<AgentLink> {
    if (this.#link?.alive === true) return this.#link;
    // One that boots may take its time, and whoever started it sets the limit.
    if (coming === "running") this.#watch();
    this.#opening ??= this.#open(coming)
      .catch((error: unknown) => {
        this.#options.onLost();
        throw error;
      })
      .finally(() => {
        this.#opening = undefined;
      });
    return await abortable(this.#opening, signal);
  }

  /** @throws AgentRefusal; GantryError timeout, cancelled, runtime-failed */
  async request(request: ControlRequest, signal: AbortSignal): Promise<readonly Field[]> {
    const link = await this.link(signal);
    return await abortable(link.request(request), signal);
  }

  /** Reads all containers anew. */
  async refresh(signal: AbortSignal): Promise<void> {
    await abortable(this.#list(await this.link(signal)), signal);
  }

  async #list(link: AgentLink): Promise<void> {
    const fields = await link.request({ type: "list", body: null });
    try {
      this.#learn(parseList(fields));
    } catch (error) {
      link.distrust(messageOf(error));
      throw error;
    }
  }

  /** One push at a time, as the agent wants it. */
  pushing<T>(work: () => Promise<T>): Promise<T> {
    const mine = this.#pushes.then(work, work);
    this.#pushes = mine.catch(() => {});
    return mine;
  }

  close(): void {
    this.#closed.abort();
    this.#unwatch?.();
    this.#link?.close();
    this.#link = undefined;
  }

  async #open(coming: Coming): Promise<AgentLink> {
    const { link, hello } = await AgentLink.open(
      this.#options.socket,
      { ...HELLO[coming], onEvent: (event) => this.#event(event) },
      this.#closed.signal,
    );
    void link.lost.then(() => {
      if (link.hostile !== undefined) this.#options.onHostile(link.hostile);
      else if (this.#link === link) return this.#reconnect();
      return undefined;
    });
    this.hello = hello;
    await this.#list(link);
    if (this.#closed.signal.aborted) link.close();
    this.#link = link;
    this.#watch();
    this.#options.onChange();
    return link;
  }

  #watch(): void {
    if (this.#closed.signal.aborted) return;
    this.#unwatch ??= watchAgent(async (timeoutMs) => {
      const link = this.#link?.alive === true ? this.#link : await this.link(AbortSignal.timeout(timeoutMs));
      await link.request({ type: "ping", body: null }, timeoutMs);
    }, this.#options);
  }

  async #reconnect(): Promise<void> {
    this.#options.onChange();
    this.#options.onLost();
    while (!this.#closed.signal.aborted) {
      await sleep(RECONNECT_MS, undefined, { ref: false });
      try {
        await this.link(this.#closed.signal);
        return;
      } catch {
        // Whoever needs it is told; this goes on until the VM is known to be dead.
      }
    }
  }

  #event(event: AgentEvent): void {
    if (event.type === "eventExit") {
      if (this.#known !== undefined && this.#known.size >= MAX_KNOWN)
        throw violation("more containers than there can be");
      this.#known = new Map(this.#known).set(event.container.container, event.container);
      this.#options.onExit(event.container);
    }
    this.#options.onChange();
  }

  #learn(containers: readonly GuestContainer[]): void {
    this.#known = new Map(containers.map((container) => [container.container, container]));
    for (const container of containers) if (container.state === "exited") this.#options.onExit(container);
  }
}

/** Waits for `work`, or stops waiting (not the work) when `signal` says so. @throws GantryError cancelled */
export async function abortable<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const onAbort = (): void =>
    reject(new GantryError("cancelled", "waiting for the micro-VM was cancelled", { kind: "system" }));
  if (signal.aborted) onAbort();
  signal.addEventListener("abort", onAbort, { once: true });
  work.catch(() => {});
  try {
    return await Promise.race([aborted, work]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}
