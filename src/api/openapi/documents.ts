/** The OpenAPI documents that kubectl explains, checks and merges by. Pure. */
import {
  type Definitions,
  type Descriptions,
  definitionName,
  definitionsOf,
  type OpenApiSchema,
  type TypedKind,
} from "./definitions.ts";

export interface DescribedKind extends TypedKind {
  readonly plural: string;
  readonly namespaced: boolean;
  readonly writable: boolean;
}

interface Parameter {
  readonly name: string;
  readonly in: "query";
  readonly description: string;
}

/** What kubectl looks for before it asks for a dry run, or leaves checking to the server. */
export const WRITE_PARAMETERS: readonly Parameter[] = [
  { name: "dryRun", in: "query", description: "All: say what would come of it, and change nothing" },
  { name: "fieldManager", in: "query", description: "who makes the change" },
  { name: "fieldValidation", in: "query", description: "Strict, Warn or Ignore: what becomes of unknown fields" },
];

export interface PathOfKind {
  readonly path: string;
  readonly kind: DescribedKind;
}

export function pathsOfKinds(kinds: readonly DescribedKind[]): PathOfKind[] {
  return kinds.map((kind) => {
    const base = kind.group === "" ? `/api/${kind.version}` : `/apis/${kind.group}/${kind.version}`;
    return { path: `${base}/${kind.namespaced ? "namespaces/{namespace}/" : ""}${kind.plural}/{name}`, kind };
  });
}

/** Version 3: one document for each group and version. */
export function documentV3(kinds: readonly DescribedKind[], gantryVersion: string, descriptions: Descriptions): object {
  const prefix = "#/components/schemas/";
  const definitions = [...definitionsOf(kinds, prefix, descriptions)];
  const schemas = Object.fromEntries(definitions.map(([name, schema]) => [name, withOwnWords(schema)]));
  const paths = pathsOfKinds(kinds).map(({ path, kind }) => [path, operations(kind, prefix)] as const);
  return {
    openapi: "3.0.0",
    info: { title: "Gantry", version: gantryVersion },
    paths: Object.fromEntries(paths),
    components: { schemas },
  };
}

function withOwnWords(schema: OpenApiSchema): OpenApiSchema {
  if (schema.properties === undefined) return schema;
  const properties = Object.entries(schema.properties).map(([name, { $ref, ...field }]) => {
    if ($ref === undefined) return [name, field] as const;
    return [name, Object.keys(field).length === 0 ? { $ref } : { ...field, allOf: [{ $ref }] }] as const;
  });
  return { ...schema, properties: Object.fromEntries(properties) };
}

function operations(kind: DescribedKind, prefix: string): object {
  const { group, version, kind: name } = kind;
  const content = { "application/json": { schema: { $ref: `${prefix}${definitionName(kind)}` } } };
  const responses = { "200": { description: "OK", content } };
  const gvk = { "x-kubernetes-group-version-kind": { group, version, kind: name } };
  const parameters = WRITE_PARAMETERS.map((parameter) => ({ ...parameter, schema: { type: "string" } }));
  return {
    get: { responses, "x-kubernetes-action": "get", ...gvk },
    ...(kind.writable && { patch: { parameters, responses, "x-kubernetes-action": "patch", ...gvk } }),
  };
}

export interface DocumentV2 {
  readonly title: string;
  readonly version: string;
  readonly paths: readonly PathOfKind[];
  readonly definitions: Definitions;
}

/** Version 2: one for all, which older clients read. */
export function documentV2(
  kinds: readonly DescribedKind[],
  gantryVersion: string,
  descriptions: Descriptions,
): DocumentV2 {
  const definitions = definitionsOf(kinds, "#/definitions/", descriptions);
  return { title: "Gantry", version: gantryVersion, paths: pathsOfKinds(kinds), definitions };
}

export function jsonOfV2({ title, version, paths, definitions }: DocumentV2): object {
  const entries = paths.map(({ path, kind }) => {
    const gvk = { group: kind.group, version: kind.version, kind: kind.kind };
    const parameters = WRITE_PARAMETERS.map((parameter) => ({ ...parameter, type: "string" }));
    const responses = { "200": { description: "OK" } };
    const patch = { parameters, responses, "x-kubernetes-action": "patch", "x-kubernetes-group-version-kind": gvk };
    return [path, kind.writable ? { patch } : {}] as const;
  });
  return {
    swagger: "2.0",
    info: { title, version },
    paths: Object.fromEntries(entries),
    definitions: Object.fromEntries(definitions) satisfies Record<string, OpenApiSchema>,
  };
}
