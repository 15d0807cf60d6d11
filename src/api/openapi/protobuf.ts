/**
 * Version 2 of the OpenAPI document in protobuf, the only form in which kubectl takes it. Numbers of fields:
 * github.com/google/gnostic, openapiv2/OpenAPIv2.proto. Pure.
 */
import type { OpenApiSchema } from "./definitions.ts";
import { type DocumentV2, type PathOfKind, WRITE_PARAMETERS } from "./documents.ts";

export function protobufOfV2({ title, version, paths, definitions }: DocumentV2): Buffer {
  const pathItems = paths.flatMap((path) =>
    path.kind.writable ? [message(2, [text(1, path.path), pathItem(path)])] : [],
  );
  const schemas = [...definitions].map(([name, schema]) => named(1, name, schemaFields(schema)));
  return Buffer.concat([
    text(1, "2.0"),
    message(2, [text(1, title), text(2, version)]),
    message(8, pathItems),
    message(9, schemas),
  ]);
}

function pathItem({ kind }: PathOfKind): Buffer {
  const parameters = WRITE_PARAMETERS.map(({ name, description }) => {
    const query = message(3, [text(2, "query"), text(3, description), text(4, name), text(6, "string")]);
    return message(8, [message(1, [message(2, [query])])]);
  });
  const gvk = { group: kind.group, version: kind.version, kind: kind.kind };
  const extensions = [
    extension(13, "x-kubernetes-action", "patch"),
    extension(13, "x-kubernetes-group-version-kind", gvk),
  ];
  return message(2, [message(8, [...parameters, ...extensions])]);
}

function schemaFields(schema: OpenApiSchema): Buffer[] {
  const { $ref, description, type, format, properties, required = [], items, additionalProperties } = schema;
  const fields: Buffer[] = [];
  if ($ref !== undefined) fields.push(text(1, $ref));
  if (format !== undefined) fields.push(text(2, format));
  if (description !== undefined) fields.push(text(4, description));
  for (const name of required) fields.push(text(19, name));
  if (additionalProperties !== undefined) fields.push(message(21, [message(1, schemaFields(additionalProperties))]));
  if (type !== undefined) fields.push(message(22, [text(1, type)]));
  if (items !== undefined) fields.push(message(23, [message(1, schemaFields(items))]));
  if (properties !== undefined)
    fields.push(
      message(
        25,
        Object.entries(properties).map(([name, inner]) => named(1, name, schemaFields(inner))),
      ),
    );
  for (const [name, value] of Object.entries(schema))
    if (name.startsWith("x-")) fields.push(extension(31, name, value));
  return fields;
}

function named(number: number, name: string, value: readonly Buffer[]): Buffer {
  return message(number, [text(1, name), message(2, value)]);
}

/** The value as YAML, of which JSON is a part. */
function extension(number: number, name: string, value: unknown): Buffer {
  return message(number, [text(1, name), message(2, [text(2, `${JSON.stringify(value)}\n`)])]);
}

const LENGTH_DELIMITED = 2;

function text(number: number, value: string): Buffer {
  return delimited(number, Buffer.from(value));
}

function message(number: number, fields: readonly Buffer[]): Buffer {
  return delimited(number, Buffer.concat(fields));
}

function delimited(number: number, bytes: Buffer): Buffer {
  return Buffer.concat([varint((number << 3) | LENGTH_DELIMITED), varint(bytes.length), bytes]);
}

function varint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value;
  while (rest > 0x7f) {
    bytes.push((rest & 0x7f) | 0x80);
    rest >>>= 7;
  }
  bytes.push(rest);
  return Buffer.from(bytes);
}
