/** The types of manifests as OpenAPI schemas, made from the zod schemas that manifests are checked by. Pure. */
import { schemaOfKind } from "../../manifest/kinds.ts";
import { elementOf, type Schema, shapeOf, unwrap } from "../../manifest/zod-schema.ts";
import { listTypeOf } from "../patch/list-types.ts";
import { nameOfKind } from "../protobuf/messages.ts";
import { messageSchema } from "./from-messages.ts";
import { TYPE_NAMES } from "./type-names.ts";
import { type RulesAt, rulesInside, rulesOfKind, verdictText } from "./verdicts.ts";

export interface OpenApiSchema {
  readonly $ref?: string;
  readonly description?: string;
  readonly type?: string;
  readonly format?: string;
  readonly properties?: Readonly<Record<string, OpenApiSchema>>;
  readonly required?: readonly string[];
  readonly items?: OpenApiSchema;
  /** Version 3 ignores what stands beside a $ref: there it stands in here. */
  readonly allOf?: readonly OpenApiSchema[];
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

/** By "Type.field", "parent.field" or "field": a sentence. */
export type Descriptions = Readonly<Record<string, string>>;

/** @param prefix of references: "#/definitions/" in version 2 of OpenAPI, "#/components/schemas/" in version 3 */
export function definitionsOf(kinds: readonly TypedKind[], prefix: string, descriptions: Descriptions): Definitions {
  const found = new Map<string, OpenApiSchema>();
  const names = new Map<Schema, string[]>();
  // What manifests are checked by says more than the messages: these only fill in what is not there.
  const checkedFirst = kinds.toSorted((a, b) => Number(isUnchecked(a)) - Number(isUnchecked(b)));
  for (const kind of checkedFirst) {
    const schema = schemaOfKind(kind.kind);
    const name = definitionName(kind);
    const gvk = [{ group: kind.group, version: kind.version, kind: kind.kind }];
    const place = { path: [], kind: kind.kind, rules: rulesOfKind(kind.kind) };
    const root = schema === undefined ? ofMessage(kind) : objectSchema(unwrap(schema), name, place);
    const description = descriptions[kind.kind];
    found.set(name, {
      ...(description !== undefined && { description }),
      ...root,
      "x-kubernetes-group-version-kind": gvk,
    });
  }
  return found;

  function ofMessage(kind: TypedKind): OpenApiSchema {
    const message = nameOfKind(kind.group === "" ? kind.version : `${kind.group}/${kind.version}`, kind.kind);
    const describe = (owner: string, path: readonly string[], field: string) =>
      describeField(owner, { path, kind: kind.kind, rules: undefined }, field);
    return messageSchema(message, { prefix, found, describe }) ?? anyObject(descriptions);
  }

  function objectSchema(schema: Schema, owner: string, place: Place): OpenApiSchema {
    const all = Object.entries(shapeOf(schema) ?? {});
    const properties = Object.fromEntries(
      all.map(([name, inner]) => {
        const at = { ...place, path: [...place.path, name], rules: rulesInside(place.rules, name) };
        const description = describeField(owner, place, name);
        const own = { ...schemaOf(inner, owner, at), ...listExtensions(at.path, inner) };
        return [name, description === undefined ? own : { ...own, description }];
      }),
    );
    const { path } = place;
    const required = all.flatMap(([name, inner]) =>
      isOptional(inner) || name === "apiVersion" || name === "kind" ? [] : [name],
    );
    const { status: said } = descriptions;
    const whatIs = { type: "object", ...(said !== undefined && { description: said }) };
    const status = path.length === 0 && !("status" in properties) ? { status: whatIs } : {};
    return { type: "object", properties: { ...properties, ...status }, ...(required.length > 0 && { required }) };
  }

  /** What the field is for, and what of it is not supported. */
  function describeField(owner: string, { path, kind, rules }: Place, field: string): string | undefined {
    const type = owner.slice(owner.lastIndexOf(".") + 1);
    const keys = [`${type}.${field}`, `${path.at(-1)}.${field}`, `${kind}.${field}`, field];
    const said = keys.map((key) => descriptions[key]).find((text) => text !== undefined);
    const sentences = [said, verdictText(rules, field)].filter((text) => text !== undefined);
    return sentences.length === 0 ? undefined : sentences.join(" ");
  }

  function schemaOf(given: Schema, owner: string, place: Place): OpenApiSchema {
    const schema = unwrap(given);
    if (shapeOf(schema) === undefined) return plainSchema(schema, owner, place);
    const wanted = kubernetesName(place.path);
    const known = names.get(schema)?.find((one) => wanted === undefined || one.endsWith(`.${shortName(wanted)}`));
    const name = known ?? nameFor(place.path, owner);
    if (known === undefined) {
      names.set(schema, [...(names.get(schema) ?? []), name]);
      found.set(name, { type: "object" }); // it may hold itself
      found.set(name, objectSchema(schema, name, place));
    }
    return { $ref: `${prefix}${name}` };
  }

  function plainSchema(schema: Schema, owner: string, place: Place): OpenApiSchema {
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
        return { type: "array", items: items === undefined ? {} : schemaOf(items, owner, place) };
      }
      case "record": {
        const values = elementOf(schema);
        return { type: "object", additionalProperties: values === undefined ? {} : schemaOf(values, owner, place) };
      }
      case "enum":
      case "literal":
        return { type: "string", enum: valuesOf(def) };
      default:
        return byName(place.path.at(-1) ?? "");
    }
  }

  function nameFor(path: readonly string[], owner: string): string {
    const field = path.at(-1) ?? "";
    const wanted = kubernetesName(path);
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

function isUnchecked({ kind }: TypedKind): boolean {
  return schemaOfKind(kind) === undefined;
}

/** Where in a kind a type is met. */
interface Place {
  readonly path: readonly string[];
  readonly kind: string;
  readonly rules: RulesAt;
}

function kubernetesName(path: readonly string[]): string | undefined {
  const field = path.at(-1) ?? "";
  return TYPE_NAMES[`${path.at(-2) ?? ""}.${field}`] ?? TYPE_NAMES[field];
}

function shortName(name: string): string {
  return name.slice(name.lastIndexOf(".") + 1);
}

/** A kind that no manifest has: what is in it is not described. */
function anyObject(descriptions: Descriptions): OpenApiSchema {
  const field = (name: string, type: string): readonly [string, OpenApiSchema] => {
    const description = descriptions[name];
    return [name, { type, ...(description !== undefined && { description }) }];
  };
  const texts = ["apiVersion", "kind"].map((name) => field(name, "string"));
  const objects = ["metadata", "spec", "status"].map((name) => field(name, "object"));
  return { type: "object", properties: Object.fromEntries([...texts, ...objects]) };
}

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
  return unwrap(schema)._zod.def.type === "array" ? mergedAs(path) : {};
}

/** How patches merge the list at `path`. */
export function mergedAs(path: readonly string[]): OpenApiSchema {
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
