import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { createConnection, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import {
  AgentDecoder,
  type AgentMessage,
  type ControlRequest,
  encodeData,
  encodeRequest,
  type Field,
  type GuestContainer,
  parseList,
} from "../../../../src/sandbox/microvm/protocol/index.ts";

type Answer = { readonly fields: readonly Field[] };
type RequestBody<T extends ControlRequest["type"]> = Extract<ControlRequest, { type: T }>["body"];

/** A plain client of the agent for tests: no reconnecting, no timeouts but the test's own. */
export class Client {
  readonly events: AgentMessage[] = [];
  readonly #stream: Duplex;
  readonly #decoder: AgentDecoder;
  readonly #nonce = randomBytes(8).toString("hex");
  readonly #waiting = new Map<number, { resolve: (answer: Answer) => void; reject: (error: Error) => void }>();
  #listeners: (() => void)[] = [];
  #nextId = 1;
  error: unknown;
  readonly #onError = (error: Error): void => this.#fail(error);
  readonly #onClose = (): void => this.#fail(new Error("the channel was closed"));
  readonly #onData = (chunk: Buffer): void => this.#take(chunk);

  constructor(stream: Duplex) {
    this.#stream = stream;
    this.#decoder = new AgentDecoder(this.#nonce);
    stream.on("data", this.#onData);
    stream.on("error", this.#onError);
    stream.on("close", this.#onClose);
  }

  /** Connects as soon as the socket is there. */
  static async connect(path: string): Promise<Client> {
    for (;;) {
      const socket: Socket = createConnection(path);
      try {
        await once(socket, "connect");
        return new Client(socket);
      } catch {
        await new Promise((resolve) => setTimeout(resolve, 2));
      }
    }
  }

  hello(): Promise<Answer> {
    return this.request("hello", { nonce: this.#nonce });
  }

  newId(): number {
    return this.#nextId++;
  }

  request<T extends ControlRequest["type"]>(type: T, body: RequestBody<T>, id = this.newId()): Promise<Answer> {
    return new Promise((resolve, reject) => {
      if (this.error) return reject(this.error);
      this.#waiting.set(id, { resolve, reject });
      this.tell(type, body, id);
    });
  }

  /** Sends what nobody answers. */
  tell<T extends ControlRequest["type"]>(type: T, body: RequestBody<T>, id: number): void {
    this.#stream.write(encodeRequest({ type, body } as ControlRequest, id));
  }

  data(type: "pushData" | "execStdin", id: number, data: string, eof = false): void {
    this.#stream.write(encodeData(type, id, Buffer.from(data), eof));
  }

  raw(bytes: Uint8Array): void {
    this.#stream.write(bytes);
  }

  async list(): Promise<GuestContainer[]> {
    return parseList((await this.request("list", null)).fields);
  }

  /** Waits until `find` is satisfied by what came outside of answers so far. */
  async until<T>(find: (messages: readonly AgentMessage[]) => T | undefined): Promise<T> {
    for (;;) {
      const found = find(this.events);
      if (found !== undefined) return found;
      if (this.error) throw this.error;
      await new Promise<void>((resolve) => this.#listeners.push(resolve));
    }
  }

  exited(container: string): Promise<GuestContainer> {
    return this.until((messages) => {
      for (const message of messages) {
        if (message.type === "eventExit" && message.container.container === container) return message.container;
      }
      return undefined;
    });
  }

  /** The output and exit code of an exec, once it has ended. */
  async ended(id: number): Promise<{ stdout: string; stderr: string; exitCode: number }> {
    const exitCode = await this.until((messages) => {
      for (const message of messages) if (message.type === "execExit" && message.id === id) return message.exitCode;
      return undefined;
    });
    return { stdout: this.output(id, false), stderr: this.output(id, true), exitCode };
  }

  output(id: number, stderr: boolean): string {
    const parts = this.events.flatMap((message) =>
      message.type === "execOutput" && message.id === id && message.stderr === stderr ? [message.data] : [],
    );
    return Buffer.concat(parts).toString("utf8");
  }

  /** Stops listening; the stream lives on. */
  detach(): void {
    this.#stream.off("data", this.#onData).off("error", this.#onError).off("close", this.#onClose);
  }

  close(): void {
    this.#stream.destroy();
  }

  #take(chunk: Buffer): void {
    try {
      for (const message of this.#decoder.push(chunk)) {
        if (message.type === "ok") this.#answer(message.id)?.resolve(message);
        else if (message.type === "error")
          this.#answer(message.id)?.reject(Object.assign(new Error(message.error.message), message.error));
        else
          this.events.push(message.type === "execOutput" ? { ...message, data: Buffer.from(message.data) } : message);
      }
    } catch (error) {
      this.#fail(error);
    }
    this.#wake();
  }

  #answer(id: number): { resolve: (answer: Answer) => void; reject: (error: Error) => void } | undefined {
    const waiting = this.#waiting.get(id);
    this.#waiting.delete(id);
    return waiting;
  }

  #fail(error: unknown): void {
    this.error ??= error;
    for (const { reject } of this.#waiting.values()) reject(error instanceof Error ? error : new Error(String(error)));
    this.#waiting.clear();
    this.#wake();
  }

  #wake(): void {
    const listeners = this.#listeners;
    this.#listeners = [];
    for (const listener of listeners) listener();
  }
}
