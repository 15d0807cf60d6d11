import type { ZodType, z } from "zod";
import type { DiskUnit } from "../../../system/disk-usage.ts";
import { GantryError } from "../../../system/errors.ts";
import type { SandboxDiskUsage } from "../../driver.ts";
import { encodeFrame, type Frame, FrameReader } from "./frames.ts";
import {
  type AgentMessage,
  creditFields,
  errorReply,
  execExitFields,
  type Field,
  FLAG_EOF,
  FLAG_MORE,
  FLAG_STDERR,
  fatalFields,
  type GuestContainer,
  type GuestStats,
  guestContainer,
  guestStats,
  guestUsage,
  MAX_MESSAGE,
  MAX_PAYLOAD,
  oomFields,
  REQUEST,
  RESPONSE,
  type ResponseName,
} from "./messages.ts";
import { type ControlRequest, requestFields } from "./requests.ts";

/** More keys than any honest message has. */
const MAX_FIELDS = 20_000;
const MAX_GROUPS = 1024;

/** @throws GantryError unsupported when a value holds a NUL or the whole is larger than the agent accepts */
export function encodeRequest(request: ControlRequest, id: number): Buffer {
  const payload = encodeFields(requestFields(request));
  if (payload.length > MAX_MESSAGE) {
    throw new GantryError("unsupported", `a ${request.type} request of ${payload.length} bytes is too large`, {
      hint: `Command line, environment and mounts of a container may take ${MAX_MESSAGE} bytes in a micro-VM.`,
    });
  }
  const frames: Buffer[] = [];
  let at = 0;
  do {
    const end = Math.min(at + MAX_PAYLOAD, payload.length);
    const flags = end < payload.length ? FLAG_MORE : 0;
    frames.push(encodeFrame(REQUEST[request.type], id, payload.subarray(at, end), flags));
    at = end;
  } while (at < payload.length);
  return frames.length === 1 && frames[0] ? frames[0] : Buffer.concat(frames);
}

/** A frame with raw bytes, at most MAX_PAYLOAD of them. `eof` closes the command's stdin after them. */
export function encodeData(type: "pushData" | "execStdin", id: number, data: Uint8Array, eof = false): Buffer {
  return encodeFrame(REQUEST[type], id, data, eof ? FLAG_EOF : 0);
}

/** @throws GantryError unsupported for a NUL in a key or value */
export function encodeFields(fields: readonly Field[]): Buffer {
  return Buffer.concat(
    fields.map(([key, value]) => {
      if (key.includes("\0") || key.includes("=") || value.includes("\0")) {
        throw new GantryError("unsupported", `the value of "${key}" holds a NUL byte`, {
          hint: "Remove the NUL byte: neither a command line nor an environment can hold one.",
        });
      }
      return Buffer.from(`${key}=${value}\0`, "utf8");
    }),
  );
}

/** @throws GantryError runtime-failed for anything that is not NUL-ended key=value pairs */
export function decodeFields(payload: Buffer): Field[] {
  const fields: Field[] = [];
  let at = 0;
  while (at < payload.length) {
    const end = payload.indexOf(0, at);
    const equals = payload.indexOf(0x3d, at);
    if (end < 0 || equals <= at || equals > end) throw broken("a field without key, '=' or end");
    if (fields.length >= MAX_FIELDS) throw broken("too many fields");
    fields.push([payload.toString("utf8", at, equals), payload.toString("utf8", equals + 1, end)]);
    at = end + 1;
  }
  return fields;
}

/** One object of the fields; a repeated key is an error. @throws GantryError runtime-failed */
export function parseFields<T extends ZodType>(schema: T, fields: readonly Field[]): z.infer<T> {
  const object = new Map<string, string>();
  for (const [key, value] of fields) {
    if (object.has(key)) throw broken(`two values for "${key.slice(0, 40)}"`);
    object.set(key, value);
  }
  const parsed = schema.safeParse(Object.fromEntries(object));
  if (parsed.success) return parsed.data;
  throw broken(parsed.error.issues.map((issue) => `${issue.path.join(".")}: ${issue.message}`).join("; "));
}

/** The answer to `list`. @throws GantryError runtime-failed */
export function parseList(fields: readonly Field[]): GuestContainer[] {
  return groups(fields).map((group) => parseFields(guestContainer, group));
}

/** The answer to `stats`. @throws GantryError runtime-failed */
export function parseStats(fields: readonly Field[]): GuestStats[] {
  return groups(fields).map((group) => parseFields(guestStats, group));
}

/** The answer to `usage`. @throws GantryError runtime-failed */
export function parseUsage(fields: readonly Field[], unit: DiskUnit): SandboxDiskUsage {
  const all = groups(fields, ["volume", "container"]).map((group) => parseFields(guestUsage, group));
  const by = (key: "volume" | "container"): Map<string, number> =>
    new Map(all.flatMap((one) => (one[key] === undefined ? [] : [[one[key], one[unit]]])));
  return { volumes: by("volume"), containers: by("container") };
}

/** Each field called one of `first` begins a group. */
function groups(fields: readonly Field[], first: readonly string[] = ["container"]): Field[][] {
  const all: Field[][] = [];
  for (const field of fields) {
    if (first.includes(field[0])) all.push([]);
    const last = all.at(-1);
    if (last === undefined || all.length > MAX_GROUPS) throw broken("a list that begins with no name, or never ends");
    last.push(field);
  }
  return all;
}

/**
 * Turns the agent's bytes into messages. Every error ends the channel: what comes after it cannot be trusted.
 * Memory is bounded by MAX_MESSAGE plus one frame.
 */
export class AgentDecoder {
  readonly #frames = new FrameReader();
  #parts: Buffer[] = [];
  #open: { readonly type: number; readonly id: number; bytes: number } | undefined;
  #nonce: string | undefined;

  /** @param nonce of the HELLO that this connection began with: everything before its answer is dropped */
  constructor(nonce: string) {
    this.#nonce = nonce;
  }

  /** True once the answer to HELLO was seen. */
  get ready(): boolean {
    return this.#nonce === undefined;
  }

  /** @throws GantryError runtime-failed */
  *push(chunk: Buffer): Generator<AgentMessage, void, undefined> {
    for (const frame of this.#frames.push(chunk)) {
      if (this.#nonce !== undefined && !this.#isHelloReply(frame, this.#nonce)) continue;
      const message = this.#assemble(frame);
      if (message !== undefined) yield message;
    }
  }

  #isHelloReply(frame: Frame, nonce: string): boolean {
    if (frame.type !== RESPONSE.ok || !frame.payload.includes(`nonce=${nonce}\0`)) return false;
    this.#nonce = undefined;
    this.#frames.accept();
    return true;
  }

  #assemble(frame: Frame): AgentMessage | undefined {
    const open = this.#open;
    if (open !== undefined && (open.type !== frame.type || open.id !== frame.id)) {
      throw broken("a message that another one interrupts");
    }
    const more = (frame.flags & FLAG_MORE) !== 0;
    if (!more && open === undefined) return decodeMessage(frame, frame.payload);
    const bytes = (open?.bytes ?? 0) + frame.payload.length;
    if (bytes > MAX_MESSAGE) throw broken("a message that is too large");
    // Without a bound on their number, empty parts would grow without end.
    if (more && frame.payload.length === 0) throw broken("an empty part of a message");
    this.#parts.push(Buffer.from(frame.payload));
    this.#open = { type: frame.type, id: frame.id, bytes };
    if (more) return undefined;
    const payload = Buffer.concat(this.#parts);
    this.#parts = [];
    this.#open = undefined;
    return decodeMessage(frame, payload);
  }
}

const NAMES: ReadonlyMap<number, ResponseName> = new Map(
  (Object.keys(RESPONSE) as ResponseName[]).map((name) => [RESPONSE[name], name]),
);

function decodeMessage(frame: Frame, payload: Buffer): AgentMessage {
  const { id } = frame;
  const type = NAMES.get(frame.type);
  if (type === undefined) throw broken(`a message of unknown type ${frame.type}`);
  const event = type === "eventExit" || type === "eventOom" || type === "eventFatal";
  if (event !== (id === 0)) throw broken(`${type} with id ${id}`);
  switch (type) {
    case "ok":
      return { type, id, fields: decodeFields(payload) };
    case "error":
      return { type, id, error: parseFields(errorReply, decodeFields(payload)) };
    case "execOutput":
      return { type, id, stderr: (frame.flags & FLAG_STDERR) !== 0, data: payload };
    case "execStdinCredit":
      return { type, id, bytes: parseFields(creditFields, decodeFields(payload)).bytes };
    case "execExit":
      return { type, id, exitCode: parseFields(execExitFields, decodeFields(payload))["exit-code"] };
    case "eventExit":
      return { type, container: parseFields(guestContainer, decodeFields(payload)) };
    case "eventOom":
      return { type, container: parseFields(oomFields, decodeFields(payload)).container };
    case "eventFatal":
      return { type, message: parseFields(fatalFields, decodeFields(payload)).message };
  }
}

function broken(what: string): GantryError {
  return new GantryError("runtime-failed", `the agent sent ${what}`, {
    kind: "system",
    hint: "The micro-VM is not to be trusted any more; its pod is restarted.",
  });
}
