/** Types of kinds that no manifest is checked by, as OpenAPI schemas made from their protobuf messages. Pure. */
import { type Field, messageOf } from "../protobuf/messages.ts";
import { mergedAs, type OpenApiSchema } from "./definitions.ts";

export interface MessageSchemas {
  /** Of references. */
  readonly prefix: string;
  /** What is defined already, and gets the types that a message holds. */
  readonly found: Map<string, OpenApiSchema>;
  /** @param path of the object that holds the field */
  readonly describe: (owner: string, path: readonly string[], field: string) => string | undefined;
}

/** Values that JSON writes as something else than an object of their fields. */
const PLAIN: Readonly<Record<string, OpenApiSchema>> = {
  string: { type: "string" },
  int: { type: "integer", format: "int64" },
  double: { type: "number", format: "double" },
  bool: { type: "boolean" },
  bytes: { type: "string", format: "byte" },
  "resource.Quantity": { type: "string" },
  "intstr.IntOrString": { type: "string", format: "int-or-string" },
  "meta/v1.Time": { type: "string", format: "date-time" },
  "meta/v1.MicroTime": { type: "string", format: "date-time" },
  "meta/v1.FieldsV1": { type: "object" },
  "runtime.RawExtension": { type: "object" },
};

/** @param name "core/v1.Node" @returns undefined for a message that is not known */
export function messageSchema(name: string, schemas: MessageSchemas): OpenApiSchema | undefined {
  if (messageOf(name) === undefined) return undefined;
  const head = Object.fromEntries(
    ["apiVersion", "kind"].map((field) => [field, described({ type: "string" }, name, [], field, schemas)]),
  );
  return { type: "object", properties: { ...head, ...propertiesOf(name, [], schemas) } };
}

function propertiesOf(name: string, path: readonly string[], schemas: MessageSchemas): Record<string, OpenApiSchema> {
  const properties: Record<string, OpenApiSchema> = {};
  for (const field of messageOf(name)?.values() ?? []) {
    // What it holds stands in the object itself.
    if (field.name === undefined) Object.assign(properties, propertiesOf(field.type, path, schemas));
    else
      properties[field.name] = described(
        fieldSchema(field, [...path, field.name], schemas),
        name,
        path,
        field.name,
        schemas,
      );
  }
  return properties;
}

function described(
  schema: OpenApiSchema,
  owner: string,
  path: readonly string[],
  field: string,
  { describe }: MessageSchemas,
): OpenApiSchema {
  const description = describe(owner, [...path, field], field);
  return description === undefined ? schema : { ...schema, description };
}

function fieldSchema({ shape, type }: Field, path: readonly string[], schemas: MessageSchemas): OpenApiSchema {
  const value = PLAIN[type] ?? reference(type, path, schemas);
  switch (shape) {
    case "one":
      return value;
    case "list":
      return { type: "array", items: value, ...mergedAs(path) };
    case "map":
      return { type: "object", additionalProperties: value };
  }
}

function reference(type: string, path: readonly string[], schemas: MessageSchemas): OpenApiSchema {
  const name = definitionOf(type);
  if (!schemas.found.has(name)) {
    schemas.found.set(name, { type: "object" }); // it may hold itself
    const properties = propertiesOf(type, path, schemas);
    if (Object.keys(properties).length > 0) schemas.found.set(name, { type: "object", properties });
  }
  return { $ref: `${schemas.prefix}${name}` };
}

/** "core/v1.NodeSpec" is called "io.k8s.api.core.v1.NodeSpec". */
function definitionOf(type: string): string {
  const name = type.replace("/", ".");
  return name.startsWith("meta.") ? `io.k8s.apimachinery.pkg.apis.${name}` : `io.k8s.api.${name}`;
}
