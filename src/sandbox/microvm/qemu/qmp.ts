import type { Socket } from "node:net";
import { z } from "zod";
import { GantryError, messageOf } from "../../../system/errors.ts";
import { connectUnix } from "./socket.ts";

/** What QEMU sends is bounded: a device model that a guest has taken over may try to fill our memory. */
const MAX_LINE = 1 << 20;
const COMMAND_TIMEOUT_MS = 10_000;

const message = z.union([
  z.object({ return: z.unknown() }),
  z.object({ error: z.object({ class: z.string(), desc: z.string() }) }),
  z.object({ event: z.string(), data: z.unknown().optional() }),
  z.object({ QMP: z.unknown() }),
]);

export interface QmpEvent {
  readonly event: string;
  readonly data: unknown;
}

interface Waiting {
  readonly command: string;
  resolve(value: unknown): void;
  reject(error: Error): void;
}

/** A QMP session (QEMU's control protocol: a line of JSON each way). Commands are answered in their order. */
export class Qmp {
  readonly #socket: Socket;
  readonly #waiting: Waiting[] = [];
  readonly #listeners = new Set<(event: QmpEvent) => void>();
  #rest = "";
  #error: GantryError | undefined;
  #greeted = Promise.withResolvers<void>();

  private constructor(socket: Socket) {
    this.#socket = socket;
    this.#greeted.promise.catch(() => {});
    socket.setEncoding("utf8");
    socket.on("data", (text: string) => this.#take(text));
    socket.on("error", (error) => this.#fail(messageOf(error)));
    socket.on("close", () => this.#fail("the connection was closed"));
  }

  /** Connects and leaves negotiation behind. @throws GantryError runtime-failed */
  static async connect(path: string, signal: AbortSignal): Promise<Qmp> {
    const qmp = new Qmp(await connectUnix(path, signal));
    const onAbort = (): void => qmp.#fail("cancelled", "cancelled");
    const timer = setTimeout(() => qmp.#fail("it did not greet"), COMMAND_TIMEOUT_MS);
    signal.addEventListener("abort", onAbort, { once: true });
    try {
      await qmp.#greeted.promise;
    } finally {
      clearTimeout(timer);
      signal.removeEventListener("abort", onAbort);
    }
    await qmp.run("qmp_capabilities");
    return qmp;
  }

  get alive(): boolean {
    return this.#error === undefined;
  }

  /** @throws GantryError runtime-failed with QEMU's own words */
  run(command: string, args: Readonly<Record<string, unknown>> = {}): Promise<unknown> {
    if (this.#error !== undefined) return Promise.reject(this.#error);
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    const timer = setTimeout(() => this.#fail(`${command} was not answered`), COMMAND_TIMEOUT_MS);
    this.#waiting.push({ command, resolve, reject });
    this.#socket.write(`${JSON.stringify({ execute: command, arguments: args })}\n`);
    return promise.finally(() => clearTimeout(timer));
  }

  onEvent(listener: (event: QmpEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  close(): void {
    this.#fail("it was closed");
    this.#socket.destroy();
  }

  #take(text: string): void {
    this.#rest += text;
    for (let end = this.#rest.indexOf("\n"); end >= 0; end = this.#rest.indexOf("\n")) {
      const line = this.#rest.slice(0, end);
      this.#rest = this.#rest.slice(end + 1);
      this.#line(line);
    }
    if (this.#rest.length > MAX_LINE) this.#fail("it sent a line without end");
  }

  #line(line: string): void {
    let parsed: z.infer<typeof message>;
    try {
      parsed = message.parse(JSON.parse(line));
    } catch {
      this.#fail("it sent what is not QMP");
      return;
    }
    if ("QMP" in parsed) this.#greeted.resolve();
    else if ("event" in parsed)
      for (const listener of this.#listeners) listener({ event: parsed.event, data: parsed.data });
    else this.#settle(parsed);
  }

  #settle(parsed: Extract<z.infer<typeof message>, { return: unknown } | { error: unknown }>): void {
    const waiting = this.#waiting.shift();
    if ("error" in parsed) {
      const text = `QEMU refuses ${waiting?.command}: ${parsed.error.desc.slice(0, 500)}`;
      waiting?.reject(new GantryError("runtime-failed", text, { kind: "system" }));
    } else {
      waiting?.resolve(parsed.return);
    }
  }

  #fail(why: string, code: "runtime-failed" | "cancelled" = "runtime-failed"): void {
    if (this.#error !== undefined) return;
    this.#error = new GantryError(code, `QEMU's control socket failed: ${why}`, { kind: "system" });
    this.#greeted.reject(this.#error);
    for (const { reject } of this.#waiting.splice(0)) reject(this.#error);
    this.#socket.destroy();
  }
}
