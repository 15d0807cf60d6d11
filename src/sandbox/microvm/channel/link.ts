import { randomBytes } from "node:crypto";
import type { Socket } from "node:net";
import { GantryError, messageOf } from "../../../system/errors.ts";
import {
  AgentDecoder,
  type AgentMessage,
  type ControlRequest,
  type ErrorReply,
  encodeData,
  encodeRequest,
  type Field,
  type HelloReply,
  helloReply,
  PROTOCOL_VERSION,
  parseFields,
  resyncFill,
} from "../protocol/index.ts";
import { connectUnix } from "../qemu/socket.ts";

const REQUEST_TIMEOUT_MS = 30_000;

/** The agent said no. `reply` holds errno and code. */
export class AgentRefusal extends Error {
  readonly reply: ErrorReply;
  constructor(reply: ErrorReply) {
    super(reply.message);
    this.reply = reply;
  }
}

/** What the agent must not do: it is not to be trusted any more. */
export function violation(what: string): GantryError {
  return new GantryError("runtime-failed", `the agent sent ${what}`, {
    kind: "system",
    details: { violation: true },
    hint: "The micro-VM is not to be trusted any more; its pod is restarted.",
  });
}

/** Requests that the agent has not read yet; a push of volumes is the largest. Bytes. */
const MAX_UNREAD = 64 << 20;
/**
 * Messages that nobody asked for: events, and late answers. An honest agent has a few per container and start; a flood
 * would keep us from everything else.
 */
const UNASKED_BURST = 500;
const UNASKED_PER_SECOND = 50;

/** What belongs to a running exec. */
export interface SessionListener {
  output(data: Buffer, stderr: boolean): void;
  stdinCredit(bytes: number): void;
  exit(code: number): void;
  /** The link was lost; nothing more comes. */
  lost(error: Error): void;
}

export type AgentEvent = Extract<AgentMessage, { type: "eventExit" | "eventOom" | "eventFatal" }>;

interface Waiting {
  resolve(fields: readonly Field[]): void;
  reject(error: Error): void;
}

/** One connection to an agent. It is lost once; a new one takes its place then. */
export class AgentLink {
  readonly #socket: Socket;
  readonly #nonce = randomBytes(8).toString("hex");
  readonly #decoder = new AgentDecoder(this.#nonce);
  readonly #waiting = new Map<number, Waiting>();
  readonly #sessions = new Map<number, SessionListener>();
  readonly #onEvent: (event: AgentEvent) => void;
  readonly #lost = Promise.withResolvers<Error>();
  /** Why the agent is not to be trusted any more. */
  hostile: string | undefined;
  #error: Error | undefined;
  #nextId = 1;
  #unasked = UNASKED_BURST;
  #refilled = performance.now();

  private constructor(socket: Socket, onEvent: (event: AgentEvent) => void) {
    this.#socket = socket;
    this.#onEvent = onEvent;
    socket.on("data", (chunk: Buffer) => this.#take(chunk));
    socket.on("error", (error) => this.#fail(messageOf(error)));
    socket.on("close", () => this.#fail("the connection was closed"));
  }

  /**
   * Connects and waits for the agent's answer, which may take a whole boot.
   * @param retryMs after which to say hello again, and again
   * @param fill before saying it again: a half frame of an earlier connection may have swallowed the first
   * @throws GantryError cancelled, runtime-failed
   */
  static async open(
    path: string,
    options: { readonly retryMs: number; readonly fill: boolean; readonly onEvent: (event: AgentEvent) => void },
    signal: AbortSignal,
  ): Promise<{ readonly link: AgentLink; readonly hello: HelloReply }> {
    const link = new AgentLink(await connectUnix(path, signal), options.onEvent);
    const onAbort = (): void => link.#fail("cancelled", "cancelled");
    signal.addEventListener("abort", onAbort, { once: true });
    const retry = setInterval(() => {
      link.#socket.write(options.fill ? Buffer.concat([resyncFill(), link.#hello()]) : link.#hello());
    }, options.retryMs);
    try {
      const answer = link.#answer(HELLO_ID, undefined);
      link.#socket.write(link.#hello());
      const hello = parseFields(helloReply, await answer);
      if (hello.version === PROTOCOL_VERSION) return { link, hello };
      throw new GantryError("runtime-failed", `the agent speaks version ${hello.version} of the protocol`, {
        kind: "system",
        hint: "The micro-VM is from another version of Gantry; its pod is restarted.",
      });
    } catch (error) {
      link.close();
      throw error;
    } finally {
      clearInterval(retry);
      signal.removeEventListener("abort", onAbort);
    }
  }

  /** Resolves with the reason once the connection is of no more use. */
  get lost(): Promise<Error> {
    return this.#lost.promise;
  }

  get alive(): boolean {
    return this.#error === undefined;
  }

  /** @throws AgentRefusal; GantryError timeout, runtime-failed */
  request(request: ControlRequest, timeoutMs = REQUEST_TIMEOUT_MS): Promise<readonly Field[]> {
    const id = this.newId();
    const answer = this.#answer(id, { type: request.type, timeoutMs });
    this.send(request, id);
    return answer;
  }

  newId(): number {
    this.#nextId = (this.#nextId % 0x7fff_ffff) + 1;
    return this.#nextId;
  }

  /** A request whose id the caller keeps, e.g. of an exec; resolves with the answer. */
  begin(request: ControlRequest, id: number, session: SessionListener): Promise<readonly Field[]> {
    this.#sessions.set(id, session);
    const answer = this.#answer(id, { type: request.type, timeoutMs: REQUEST_TIMEOUT_MS });
    answer.catch(() => this.#sessions.delete(id));
    this.send(request, id);
    return answer;
  }

  /** Sends what is not answered, or whose answer somebody waits for already. */
  send(request: ControlRequest, id: number): void {
    if (this.alive) this.#write(encodeRequest(request, id));
  }

  data(type: "pushData" | "execStdin", id: number, bytes: Uint8Array, eof = false): void {
    if (this.alive) this.#write(encodeData(type, id, bytes, eof));
  }

  #write(bytes: Buffer): void {
    this.#socket.write(bytes);
    if (this.#socket.writableLength > MAX_UNREAD) this.#fail("it does not read what it is sent");
  }

  /** Several requests with one id, one answer: a push. */
  answerTo(id: number, type: string): Promise<readonly Field[]> {
    return this.#answer(id, { type, timeoutMs: REQUEST_TIMEOUT_MS });
  }

  close(): void {
    this.#fail("it was closed");
  }

  /** What it sent makes no sense. */
  distrust(why: string): void {
    this.#fail(why, "runtime-failed", true);
  }

  #hello(): Buffer {
    return encodeRequest({ type: "hello", body: { nonce: this.#nonce } }, HELLO_ID);
  }

  #answer(
    id: number,
    limit: { readonly type: string; readonly timeoutMs: number } | undefined,
  ): Promise<readonly Field[]> {
    if (this.#error !== undefined) return Promise.reject(this.#error);
    const { promise, resolve, reject } = Promise.withResolvers<readonly Field[]>();
    this.#waiting.set(id, { resolve, reject });
    if (limit === undefined) return promise;
    const timer = setTimeout(() => {
      this.#waiting.delete(id);
      reject(new GantryError("timeout", `the agent did not answer ${limit.type} in time`, { kind: "system" }));
    }, limit.timeoutMs);
    return promise.finally(() => clearTimeout(timer));
  }

  #take(chunk: Buffer): void {
    try {
      for (const message of this.#decoder.push(chunk)) {
        this.#message(message);
        if (!this.alive) return;
      }
    } catch (error) {
      this.#fail(messageOf(error), "runtime-failed", true);
    }
  }

  #message(message: AgentMessage): void {
    switch (message.type) {
      case "ok":
        this.#settle(message.id)?.resolve(message.fields);
        break;
      case "error":
        this.#settle(message.id)?.reject(new AgentRefusal(message.error));
        break;
      case "execOutput":
        // The payload is part of a buffer that is used again.
        this.#session(message.id)?.output(Buffer.from(message.data), message.stderr);
        break;
      case "execStdinCredit":
        this.#session(message.id)?.stdinCredit(message.bytes);
        break;
      case "execExit": {
        const session = this.#session(message.id);
        this.#sessions.delete(message.id);
        session?.exit(message.exitCode);
        break;
      }
      case "eventExit":
      case "eventOom":
      case "eventFatal":
        this.#notAsked();
        this.#onEvent(message);
        break;
    }
  }

  /** Counts what nobody asked for. @throws GantryError runtime-failed when it is a flood */
  #notAsked(): void {
    const now = performance.now();
    const more = ((now - this.#refilled) / 1000) * UNASKED_PER_SECOND;
    this.#unasked = Math.min(UNASKED_BURST, this.#unasked + more) - 1;
    this.#refilled = now;
    if (this.#unasked < 0) throw violation("a flood of messages that nobody asked for");
  }

  #session(id: number): SessionListener | undefined {
    const session = this.#sessions.get(id);
    if (session === undefined) this.#notAsked();
    return session;
  }

  #settle(id: number): Waiting | undefined {
    const waiting = this.#waiting.get(id);
    if (waiting === undefined) this.#notAsked();
    this.#waiting.delete(id);
    return waiting;
  }

  #fail(why: string, code: "runtime-failed" | "cancelled" = "runtime-failed", hostile = false): void {
    if (this.#error !== undefined) return;
    const error = new GantryError(code, `the link to the micro-VM's agent was lost: ${why}`, { kind: "system" });
    this.hostile = hostile ? why : undefined;
    this.#error = error;
    this.#socket.destroy();
    for (const { reject } of this.#waiting.values()) reject(error);
    this.#waiting.clear();
    for (const session of this.#sessions.values()) session.lost(error);
    this.#sessions.clear();
    this.#lost.resolve(error);
  }
}

const HELLO_ID = 1;
