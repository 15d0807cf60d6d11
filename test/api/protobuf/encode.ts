/** Writes objects as Kubernetes' protobuf, as a client in Go does; only for tests. */
import protobuf, { type Writer } from "protobufjs/minimal.js";
import { type Field, messageOf, nameOfKind } from "../../../src/api/protobuf/messages.ts";

type Fields = Readonly<Record<string, unknown>>;

const tag = (number: number, wire: number): number => ((number << 3) | wire) >>> 0;

export function encodeBody({ apiVersion, kind, ...object }: Fields): Buffer {
  const meta = protobuf.Writer.create();
  meta.uint32(tag(1, 2)).string(String(apiVersion)).uint32(tag(2, 2)).string(String(kind));
  const raw = encode(object, nameOfKind(String(apiVersion), String(kind)));
  return envelope(meta.finish(), raw);
}

export function envelope(meta: Uint8Array, raw: Uint8Array): Buffer {
  const all = protobuf.Writer.create().uint32(tag(1, 2)).bytes(meta).uint32(tag(2, 2)).bytes(raw);
  return Buffer.concat([Buffer.from("k8s\0"), all.finish()]);
}

export function encode(object: Fields, name: string): Uint8Array {
  const writer = protobuf.Writer.create();
  for (const [number, field] of messageOf(name) ?? []) {
    if (field.name === undefined) {
      writer.uint32(tag(number, 2)).bytes(encode(object, field.type));
      continue;
    }
    const value = object[field.name];
    if (value === undefined) {
      // Go writes what is no pointer, set or not.
      if (field.omitsZero) scalar(writer, number, field.type, field.type === "string" ? "" : 0);
    } else if (field.shape === "list") for (const each of value as unknown[]) one(writer, number, field, each);
    else if (field.shape === "map")
      for (const [key, inner] of Object.entries(value as Fields)) {
        const entry = protobuf.Writer.create().uint32(tag(1, 2)).string(key);
        one(entry, 2, field, inner);
        writer.uint32(tag(number, 2)).bytes(entry.finish());
      }
    else one(writer, number, field, value);
  }
  return writer.finish();
}

function one(writer: Writer, number: number, { type }: Field, value: unknown): void {
  if (!type.includes(".")) scalar(writer, number, type, value);
  else writer.uint32(tag(number, 2)).bytes(special(type, value) ?? encode(value as Fields, type));
}

function scalar(writer: Writer, number: number, type: string, value: unknown): void {
  if (type === "string") writer.uint32(tag(number, 2)).string(String(value));
  else if (type === "bytes") writer.uint32(tag(number, 2)).bytes(Buffer.from(String(value), "base64"));
  else writer.uint32(tag(number, 0)).int64(Number(value));
}

function special(type: string, value: unknown): Uint8Array | undefined {
  const writer = protobuf.Writer.create();
  switch (type) {
    case "resource.Quantity":
      return writer.uint32(tag(1, 2)).string(String(value)).finish();
    case "intstr.IntOrString":
      return typeof value === "number"
        ? encode({ type: 0, intVal: value, strVal: "" }, type)
        : encode({ type: 1, intVal: 0, strVal: value }, type);
    case "meta/v1.Time":
    case "meta/v1.MicroTime": {
      if (value === null) return writer.finish();
      const ms = Date.parse(String(value));
      return encode({ seconds: Math.floor(ms / 1000), nanos: (((ms % 1000) + 1000) % 1000) * 1e6 }, type);
    }
    case "meta/v1.FieldsV1":
    case "runtime.RawExtension":
      return writer
        .uint32(tag(1, 2))
        .bytes(Buffer.from(JSON.stringify(value)))
        .finish();
    default:
      return type.endsWith(".ExtraValue") ? encode({ items: value }, type) : undefined;
  }
}
