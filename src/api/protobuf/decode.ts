/**
 * Objects in Kubernetes' protobuf, as JSON has them (k8s.io/apimachinery, pkg/runtime/serializer/protobuf): four bytes,
 * a runtime.Unknown, and in it the object. Pure.
 */
import protobuf, { type Reader } from "protobufjs/minimal.js";
import { GantryError, isGantryError, messageOf as textOf } from "../../system/errors.ts";
import { refuseExcess, refuseMany } from "../patch/plain.ts";
import { type Field, type Message, messageOf, nameOfKind } from "./messages.ts";
import { isSpecial, specialValue } from "./special.ts";

const MAGIC = Buffer.from("k8s\0");
const HINT = "Send it as application/json.";

/** Ways to write a value (protobuf.dev, "Message Structure"); groups are none that Kubernetes has. */
const VARINT = 0;
const FIXED_64 = 1;
const DELIMITED = 2;
const FIXED_32 = 5;
const WIRE_TYPES: readonly number[] = [VARINT, FIXED_64, DELIMITED, FIXED_32];

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/**
 * The object that a body holds. What a message has that nobody knows stands in it as "protobufFieldNUMBER", so that it
 * is told of as every unknown field is.
 * @throws GantryError usage, saying where the bytes make no sense
 */
export function decodeBody(body: Buffer): Readonly<Record<string, unknown>> {
  if (!body.subarray(0, MAGIC.length).equals(MAGIC))
    throw new GantryError("usage", "the body is not Kubernetes' protobuf: it does not begin with 'k8s' and a zero", {
      hint: HINT,
    });
  const place = new Place();
  try {
    return ofEnvelope(body.subarray(MAGIC.length), place);
  } catch (error) {
    if (isGantryError(error, "usage")) throw error;
    throw new GantryError("usage", `the body is not protobuf that can be read: ${place}${textOf(error)}`, {
      hint: HINT,
      cause: error,
    });
  }
}

/** Where it is being read: "spec.containers[0].name". */
class Place {
  readonly #parts: string[] = [];
  #count = 0;

  /** @throws GantryError usage, when there is no end of it */
  push(part: string): void {
    this.#parts.push(part);
    this.#count += 1;
    refuseMany(this.#count);
  }

  pop(): void {
    this.#parts.pop();
  }

  toString(): string {
    return this.#parts.length === 0 ? "" : `${this.#parts.join(".").replace(/\.\[/g, "[")}: `;
  }
}

/** runtime.Unknown */
function ofEnvelope(bytes: Buffer, place: Place): Readonly<Record<string, unknown>> {
  const parts = new Map<number, Uint8Array>();
  const reader = protobuf.Reader.create(bytes);
  while (reader.pos < reader.len) {
    const tag = reader.tag();
    if ((tag & 7) !== DELIMITED) throw new Error(`its envelope has a field ${tag >>> 3} that is none of an envelope`);
    parts.set(tag >>> 3, reader.bytes());
  }
  const [meta = new Uint8Array(), raw = new Uint8Array()] = [parts.get(1), parts.get(2)];
  const { apiVersion, kind } = typeMeta(meta);
  if (parts.get(3)?.length) throw new Error("what it holds is encoded once more, which is not possible here");
  const message = messageOf(nameOfKind(apiVersion, kind));
  if (message === undefined) {
    const what = kind === "" ? "its envelope does not say of what kind it is" : `${kind} of ${apiVersion} is not known`;
    throw new GantryError("usage", `the body can't be read: ${what}`, { hint: HINT });
  }
  return { kind, apiVersion, ...decode(raw, message, place) };
}

function typeMeta(bytes: Uint8Array): { readonly apiVersion: string; readonly kind: string } {
  const texts = new Map<number, string>();
  const reader = protobuf.Reader.create(bytes);
  while (reader.pos < reader.len) {
    const tag = reader.tag();
    if ((tag & 7) === DELIMITED) texts.set(tag >>> 3, utf8.decode(reader.bytes()));
    else skip(reader, tag & 7);
  }
  return { apiVersion: texts.get(1) ?? "", kind: texts.get(2) ?? "" };
}

/** @param place where it stands in the object; left as it is when something is thrown */
function decode(bytes: Uint8Array, message: Message, place: Place): Record<string, unknown> {
  const found = new Map<string, unknown>();
  const reader = protobuf.Reader.create(bytes);
  while (reader.pos < reader.len) {
    const tag = reader.tag();
    const [number, wire] = [tag >>> 3, tag & 7];
    const field = message.get(number);
    place.push(field?.name ?? (field === undefined ? `field ${number}` : ""));
    if (number === 0 || !WIRE_TYPES.includes(wire)) throw new Error(`there is no field ${number} of the type ${wire}`);
    if (field === undefined) {
      // What a release no longer has, an older client may write all the same, with nothing in it.
      if (!isZero(reader, wire)) found.set(`protobufField${number}`, true);
    } else if (field.name === undefined) {
      place.pop();
      for (const [name, value] of Object.entries(one(reader, wire, field, place) as object)) found.set(name, value);
      continue;
    } else read(reader, wire, field, field.name, found, place);
    place.pop();
  }
  for (const [name, value] of found) if (value instanceof Map) found.set(name, Object.fromEntries(value));
  return Object.fromEntries(found);
}

function read(
  reader: Reader,
  wire: number,
  field: Field,
  name: string,
  found: Map<string, unknown>,
  place: Place,
): void {
  const before = found.get(name);
  switch (field.shape) {
    case "one": {
      const value = one(reader, wire, field, place);
      if (!(field.omitsZero && (value === "" || value === 0 || value === false))) found.set(name, value);
      return;
    }
    case "list": {
      const list = Array.isArray(before) ? before : [];
      if (before === undefined) found.set(name, list);
      place.push(`[${list.length}]`);
      // Numbers may come many at a time.
      if (field.type === "int" && wire === DELIMITED) {
        const packed = protobuf.Reader.create(reader.bytes());
        while (packed.pos < packed.len) list.push(integer(packed));
      } else list.push(one(reader, wire, field, place));
      place.pop();
      return;
    }
    case "map": {
      const map: Map<string, unknown> = before instanceof Map ? before : new Map();
      const [key, value] = entry(reader, wire, field, place);
      map.set(key, value);
      found.set(name, map);
    }
  }
}

/** One of a map: a message of key and value. */
function entry(reader: Reader, wire: number, field: Field, place: Place): [string, unknown] {
  let key = "";
  let value: unknown = field.type === "string" || field.type === "bytes" ? "" : undefined;
  expect(wire, DELIMITED);
  const inside = protobuf.Reader.create(reader.bytes());
  while (inside.pos < inside.len) {
    const tag = inside.tag();
    if (tag >>> 3 === 1) {
      expect(tag & 7, DELIMITED);
      key = utf8.decode(inside.bytes());
    } else if (tag >>> 3 === 2) {
      place.push(key);
      value = one(inside, tag & 7, field, place);
      place.pop();
    } else skip(inside, tag & 7);
  }
  if (value === undefined) throw new Error(`'${key}' has no value`);
  return [key, value];
}

function one(reader: Reader, wire: number, { type }: Field, place: Place): unknown {
  switch (type) {
    case "int":
      expect(wire, VARINT);
      return integer(reader);
    case "bool":
      expect(wire, VARINT);
      return reader.bool();
  }
  expect(wire, DELIMITED);
  const bytes = reader.bytes();
  if (type === "string") return utf8.decode(bytes);
  if (type === "bytes") return Buffer.from(bytes).toString("base64");
  const message = messageOf(type);
  if (message === undefined) throw new GantryError("internal", `no message ${type} is described`);
  if (type.endsWith(".FieldsV1") || type.endsWith(".RawExtension")) return jsonIn(bytes);
  const value = decode(bytes, message, place);
  return isSpecial(type) ? specialValue(type, value) : value;
}

/** JSON inside of a message: `bytes raw = 1`. @throws GantryError usage, when it is nested without end */
function jsonIn(bytes: Uint8Array): unknown {
  const reader = protobuf.Reader.create(bytes);
  let text = "";
  while (reader.pos < reader.len) {
    const tag = reader.tag();
    if (tag === ((1 << 3) | DELIMITED)) text = utf8.decode(reader.bytes());
    else skip(reader, tag & 7);
  }
  const value: unknown = text === "" ? null : JSON.parse(text);
  refuseExcess(value);
  return value;
}

/** As JSON, exact up to 2^53. */
function integer(reader: Reader): number {
  return Number(String(reader.int64()));
}

function isZero(reader: Reader, wire: number): boolean {
  if (wire === VARINT) return integer(reader) === 0;
  if (wire === DELIMITED) return reader.bytes().length === 0;
  skip(reader, wire);
  return false;
}

function skip(reader: Reader, wire: number): void {
  if (!WIRE_TYPES.includes(wire)) throw new Error(`there is no value of the type ${wire}`);
  reader.skipType(wire);
}

function expect(wire: number, wanted: number): void {
  if (wire !== wanted) throw new Error(`a value of the type ${wanted} is expected, not ${wire}`);
}
