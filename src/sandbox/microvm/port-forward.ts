import { Duplex } from "node:stream";
import { GantryError } from "../../system/errors.ts";
import { nothingListens } from "../port-errors.ts";
import { SessionInput } from "./channel/input.ts";
import { type AgentLink, type SessionListener, violation } from "./channel/link.ts";
import { isRefusal } from "./channel/push.ts";

/** Bytes that may be on their way from the guest; more is asked for as it is read. */
const WINDOW = 256 * 1024;
const SIGKILL = 9;
const ECONNREFUSED = 111;

/** See SandboxDriver.forwardPort. The agent connects, within the guest. */
export async function connectInGuest(link: AgentLink, port: number, signal: AbortSignal): Promise<Duplex> {
  const connection = new GuestConnection(link);
  try {
    await link.begin({ type: "dial", body: { port, credit: WINDOW } }, connection.id, connection);
  } catch (error) {
    connection.destroy();
    if (!isRefusal(error)) throw error;
    if (error.reply.errno === ECONNREFUSED) throw nothingListens(port, error);
    throw new GantryError("unsupported", `cannot connect to port ${port} in the micro-VM: ${error.message}`, {
      cause: error,
      hint:
        error.reply.code === "invalid"
          ? "The micro-VM is from an earlier version of Gantry: restart its pod."
          : "Close connections that are not needed any more.",
    });
  }
  connection.once("close", () => connection.hangUp());
  if (signal.aborted) connection.destroy();
  return connection;
}

/** One connection on a link, with flow control both ways. */
class GuestConnection extends Duplex implements SessionListener {
  readonly id: number;
  readonly #link: AgentLink;
  readonly #input: SessionInput;
  #allowed = WINDOW;
  #owed = 0;
  #ended = false;

  constructor(link: AgentLink) {
    super({ readableHighWaterMark: WINDOW });
    this.#link = link;
    this.id = link.newId();
    this.#input = new SessionInput(link, this.id);
    this.on("error", () => {}); // its end tells it all
  }

  /** Tells the agent to close it, unless it has. */
  hangUp(): void {
    if (!this.#ended) this.#link.send({ type: "execSignal", body: { signal: SIGKILL } }, this.id);
  }

  output(data: Buffer): void {
    this.#allowed -= data.length;
    if (this.#allowed < 0) throw violation("more data of a connection than it was allowed");
    if (this.destroyed) return;
    this.#owed += data.length;
    this.push(data);
  }

  stdinCredit(bytes: number): void {
    this.#input.credit(bytes);
  }

  exit(): void {
    this.#ended = true;
    if (!this.destroyed) this.push(null);
  }

  lost(error: Error): void {
    this.#ended = true;
    this.destroy(error);
  }

  override _read(): void {
    if (this.#owed === 0 || this.#ended) return;
    this.#allowed += this.#owed;
    this.#link.send({ type: "execCredit", body: { bytes: this.#owed } }, this.id);
    this.#owed = 0;
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    // What is sent to an app that has closed its connection goes nowhere.
    if (this.#ended || this.#input.destroyed) done();
    else this.#input.write(chunk, () => done());
  }

  override _final(done: (error?: Error | null) => void): void {
    this.#input.end(() => done());
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#input.destroy();
    done(error);
  }
}
