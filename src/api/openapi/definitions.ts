/** The types of manifests as OpenAPI schemas, made from the zod schemas that manifests are checked by. Pure. */
import { schemaOfKind } from "../../manifest/kinds.ts";
import { elementOf, type Schema, shapeOf, unwrap } from "../../manifest/zod-schema.ts";
import { listTypeOf } from "../patch/list-types.ts";
import { TYPE_NAMES } from "./type-names.ts";

export interface OpenApiSchema {
  readonly $ref?: string;
  readonly description?: string;
  readonly type?: string;
  readonly format?: string;
  readonly properties?: Readonly<Record<string, OpenApiSchema>>;
  readonly required?: readonly string[];
  readonly items?: OpenApiSchema;
  readonly additionalProperties?: OpenApiSchema;
  readonly enum?: readonly string[];
  readonly [extension: `x-${string}`]: unknown;
}

export interface TypedKind {
  readonly group: string;
  readonly version: string;
  readonly kind: string;
}

export type Definitions = ReadonlyMap<string, OpenApiSchema>;

/** The name of a kind's own definition, as Kubernetes names it: "io.k8s.api.apps.v1.Deployment" */
export function definitionName({ group, version, kind }: TypedKind): string {
  const short = group === "" ? "core" : (group.split(".")[0] ?? group);
  return `io.k8s.api.${short}.${version}.${kind}`;
}

/** @param prefix of references: "#/definitions/" in version 2 of OpenAPI, "#/components/schemas/" in version 3 */
export function definitionsOf(kinds: readonly TypedKind[], prefix: string): Definitions {
  const found = new Map<string, OpenApiSchema>();
  const names = new Map<Schema, string>();
  for (const kind of kinds) {
    const schema = schemaOfKind(kind.kind);
    const name = definitionName(kind);
    const gvk = [{ group: kind.group, version: kind.version, kind: kind.kind }];
    const root = schema === undefined ? ANY_OBJECT : objectSchema(unwrap(schema), name, []);
    found.set(name, { ...root, "x-kubernetes-group-version-kind": gvk });
  }
  return found;

  function objectSchema(schema: Schema, owner: string, path: readonly string[]): OpenApiSchema {
    const shape = shapeOf(schema) ?? {};
    const all = Object.entries(shape);
    const properties = Object.fromEntries(
      all.map(([name, inner]) => [
        name,
        { ...schemaOf(inner, owner, [...path, name]), ...listExtensions([...path, name], inner) },
      ]),
    );
    const required = all.flatMap(([name, inner]) =>
      isOptional(inner) || name === "apiVersion" || name === "kind" ? [] : [name],
    );
    const status = path.length === 0 && !("status" in properties) ? { status: { type: "object" } } : {};
    return { type: "object", properties: { ...properties, ...status }, ...(required.length > 0 && { required }) };
  }

  function schemaOf(given: Schema, owner: string, path: readonly string[]): OpenApiSchema {
    const schema = unwrap(given);
    if (shapeOf(schema) !== undefined) {
      const known = names.get(schema);
      const name = known ?? nameFor(path, owner);
      if (known === undefined) {
        names.set(schema, name);
        found.set(name, { type: "object" }); // it may hold itself
        found.set(name, objectSchema(schema, name, path));
      }
      return { $ref: `${prefix}${name}` };
    }
    return plainSchema(schema, owner, path);
  }

  function plainSchema(schema: Schema, owner: string, path: readonly string[]): OpenApiSchema {
    const { def } = schema._zod;
    switch (def.type) {
      case "string":
        return { type: "string" };
      case "number":
        return { type: "integer", format: "int64" };
      case "boolean":
        return { type: "boolean" };
      case "array": {
        const items = elementOf(schema);
        return { type: "array", items: items === undefined ? {} : schemaOf(items, owner, path) };
      }
      case "record": {
        const values = elementOf(schema);
        return { type: "object", additionalProperties: values === undefined ? {} : schemaOf(values, owner, path) };
      }
      case "enum":
      case "literal":
        return { type: "string", enum: valuesOf(def) };
      default:
        return byName(path.at(-1) ?? "");
    }
  }

  function nameFor(path: readonly string[], owner: string): string {
    const parent = path.at(-2) ?? "";
    const field = path.at(-1) ?? "";
    const wanted = TYPE_NAMES[`${parent}.${field}`] ?? TYPE_NAMES[field];
    const base = owner.slice(0, owner.lastIndexOf(".") + 1);
    const name =
      wanted ?? `${owner.slice(owner.lastIndexOf(".") + 1)}${field.charAt(0).toUpperCase()}${field.slice(1)}`;
    const full = name.includes(".") ? name : `${base}${name}`;
    if (!found.has(full)) return full;
    let count = 2;
    while (found.has(`${full}${count}`)) count++;
    return `${full}${count}`;
  }
}

const ANY_OBJECT: OpenApiSchema = {
  type: "object",
  properties: {
    apiVersion: { type: "string" },
    kind: { type: "string" },
    metadata: { type: "object" },
    spec: { type: "object" },
    status: { type: "object" },
  },
};

/** It need not be written: it is optional, or has a default. */
function isOptional(schema: Schema): boolean {
  return schema._zod.optin !== undefined;
}

function valuesOf(def: object): string[] {
  if ("values" in def && Array.isArray(def.values)) return def.values.map(String);
  if ("entries" in def && typeof def.entries === "object" && def.entries !== null)
    return Object.values(def.entries).map(String);
  return [];
}

/** Fields that are checked by code, not by a type: quantities, ports and the like. */
function byName(field: string): OpenApiSchema {
  const intOrString = ["port", "targetPort", "maxSurge", "maxUnavailable"].includes(field);
  if (intOrString) return { type: "string", format: "int-or-string" };
  if (["limits", "requests", "podFixed", "sizeLimit", "storage", "divisor", "overhead"].includes(field))
    return { type: "string" };
  return {};
}

function listExtensions(path: readonly string[], schema: Schema): OpenApiSchema {
  if (unwrap(schema)._zod.def.type !== "array") return {};
  const type = listTypeOf(path);
  if (type === undefined) return { "x-kubernetes-list-type": "atomic" };
  const { mergeKey, keys } = type;
  if (mergeKey === undefined) return { "x-kubernetes-list-type": "set", "x-kubernetes-patch-strategy": "merge" };
  return {
    "x-kubernetes-list-type": "map",
    "x-kubernetes-list-map-keys": keys,
    "x-kubernetes-patch-merge-key": mergeKey,
    "x-kubernetes-patch-strategy": path.at(-1) === "volumes" ? "merge,retainKeys" : "merge",
  };
}
