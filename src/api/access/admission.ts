import { httpError } from "../status-error.ts";
import type { Duration } from "./request-info.ts";

/** How much clients may ask for at the same time, and how often. */
export interface Limits {
  /** Requests that are being answered: of all clients, and of one. */
  readonly inFlight: number;
  readonly inFlightPerClient: number;
  /** Watches, followed logs and sessions: of all clients, and of one. */
  readonly streams: number;
  readonly streamsPerClient: number;
  /** Requests a second that a client may go on with, and how many it may send in one go. */
  readonly ratePerSecond: number;
  readonly burst: number;
}

/** A client of kubectl sends at most 50 requests a second and 300 in one go; kube-apiserver answers 400 at a time. */
export const LIMITS: Limits = {
  inFlight: 200,
  inFlightPerClient: 64,
  streams: 2000,
  streamsPerClient: 1500,
  ratePerSecond: 200,
  burst: 400,
};

interface Client {
  short: number;
  stream: number;
  /** Tokens left in the bucket, and when that was. */
  tokens: number;
  at: number;
}

/** Clients that are forgotten once their buckets are full again are looked for when there are more than this. */
const MANY_CLIENTS = 1000;

/** Lets requests in while there is room. No I/O; time is given. */
export class Admission {
  readonly #limits: Limits;
  readonly #clients = new Map<string, Client>();
  #short = 0;
  #stream = 0;

  constructor(limits: Limits = LIMITS) {
    this.#limits = limits;
  }

  /**
   * @param client name of the credential, or the address of one that has none
   * @param now ms @returns what ends its time, to be called once
   * @throws GantryError too-many-requests (429)
   */
  admit(client: string, duration: Duration, now: number): () => void {
    const limits = this.#limits;
    const state = this.#clientAt(client, now);
    if (state.tokens < 1) {
      throw busy(`'${client}' sends more than ${limits.ratePerSecond} requests a second`);
    }
    if (duration === "short") {
      if (state.short >= limits.inFlightPerClient)
        throw busy(`'${client}' has ${state.short} requests that are not answered yet`);
      if (this.#short >= limits.inFlight) throw busy(`${this.#short} requests are being answered`);
    } else {
      if (state.stream >= limits.streamsPerClient)
        throw busy(`'${client}' has ${state.stream} watches, logs and sessions open`);
      if (this.#stream >= limits.streams) throw busy(`${this.#stream} watches, logs and sessions are open`);
    }
    state.tokens -= 1;
    this.#count(state, duration, 1);
    let open = true;
    return () => {
      if (open) this.#count(state, duration, -1);
      open = false;
    };
  }

  get open(): { readonly short: number; readonly stream: number } {
    return { short: this.#short, stream: this.#stream };
  }

  #count(state: Client, duration: Duration, by: 1 | -1): void {
    state[duration] += by;
    if (duration === "short") this.#short += by;
    else this.#stream += by;
  }

  #clientAt(name: string, now: number): Client {
    const { burst, ratePerSecond } = this.#limits;
    let state = this.#clients.get(name);
    if (state === undefined) {
      if (this.#clients.size >= MANY_CLIENTS) this.#forget(now);
      state = { short: 0, stream: 0, tokens: burst, at: now };
      this.#clients.set(name, state);
    }
    state.tokens = Math.min(burst, state.tokens + (Math.max(0, now - state.at) * ratePerSecond) / 1000);
    state.at = now;
    return state;
  }

  #forget(now: number): void {
    const fullAfterMs = (this.#limits.burst / this.#limits.ratePerSecond) * 1000;
    for (const [name, { short, stream, at }] of this.#clients) {
      if (short + stream === 0 && now - at > fullAfterMs) this.#clients.delete(name);
    }
  }
}

/** Clients of Kubernetes wait for so long and try again. s */
export const RETRY_AFTER_SECONDS = 1;

function busy(why: string) {
  return httpError("TooManyRequests", `too many requests: ${why}`, "Wait a second and try again.");
}
