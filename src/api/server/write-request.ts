/** What a write asks for, read and checked before anything is written. */
import { randomInt } from "node:crypto";
import { check } from "../../manifest/index.ts";
import { fieldName } from "../../manifest/issue.ts";
import { GantryError } from "../../system/errors.ts";
import { at, type Fields, fieldsOf } from "../patch/plain.ts";
import { httpError } from "../status-error.ts";
import { OBJECT_TYPES, readData, YAML_TYPES } from "./body.ts";
import { type AnyResource, type ApiObject, groupVersion } from "./resources.ts";
import type { Call } from "./routing.ts";

const BODY_TYPES = [...OBJECT_TYPES, ...YAML_TYPES];

const NAME_CHARACTERS = "bcdfghjklmnpqrstvwxz2456789";

/** Which of `types` the body is of. @throws GantryError usage (415) */
export function mediaType<T extends string>(call: Call, types: readonly T[]): T {
  const given = call.request.headers["content-type"]?.split(";")[0]?.trim().toLowerCase();
  const type = types.find((one) => one === given);
  if (type !== undefined) return type;
  throw httpError(
    "UnsupportedMediaType",
    `can't take a patch of the type '${given ?? ""}'`,
    `Types are ${types.join(", ")}.`,
  );
}

/** The object that is sent. @throws GantryError as readData; usage, for another kind */
export async function bodyObject(
  call: Call,
  resource: AnyResource,
  types: readonly string[] = BODY_TYPES,
): Promise<Fields> {
  const fields = fieldsOf(await readData(call.request, types));
  if (fields === undefined)
    throw new GantryError("usage", "the body is not an object", { hint: `Send a ${resource.kind}.` });
  refuseOtherKind(resource, fields);
  return { ...fields, kind: resource.kind, apiVersion: groupVersion(resource) };
}

function refuseOtherKind(resource: AnyResource, fields: Fields): void {
  const { kind = resource.kind, apiVersion = groupVersion(resource) } = fields;
  if (kind !== resource.kind || apiVersion !== groupVersion(resource)) {
    throw new GantryError(
      "usage",
      `the body is a ${String(kind)} of ${String(apiVersion)}, not a ${resource.kind} of ${groupVersion(resource)}`,
      {
        hint: "Send it to the path of its own kind.",
      },
    );
  }
}

/** Its name, or one that is made from generateName. */
export function nameOf(object: Fields): string {
  const metadata = fieldsOf(object["metadata"]) ?? {};
  const { name, generateName } = metadata;
  if (typeof name === "string" && name !== "") return name;
  if (typeof generateName !== "string" || generateName === "") {
    throw new GantryError("invalid-manifest", "metadata.name: is required", {
      hint: "Give a name, or a generateName.",
      details: { causes: [{ field: "metadata.name", message: "name or generateName is required" }] },
    });
  }
  const suffix = Array.from({ length: 5 }, () => NAME_CHARACTERS[randomInt(NAME_CHARACTERS.length)]).join("");
  return `${generateName.slice(0, 58)}${suffix}`;
}

/** As the path has it. @throws usage when it says another kind, name or namespace */
export function settled(resource: AnyResource, object: Fields, namespace: string | undefined, name: string): Fields {
  const metadata = fieldsOf(object["metadata"]) ?? {};
  const said = metadata["namespace"];
  if (namespace !== undefined && said !== undefined && said !== "" && said !== namespace) {
    throw new GantryError(
      "usage",
      `the namespace of the object (${String(said)}) is not that of the request (${namespace})`,
    );
  }
  refuseOtherKind(resource, object);
  if (metadata["name"] !== undefined && metadata["name"] !== "" && metadata["name"] !== name) throw renaming();
  const { namespace: _namespace, name: _name, generateName: _made, ...rest } = metadata;
  const head = { name, ...(namespace === undefined ? {} : { namespace }) };
  return { ...object, apiVersion: groupVersion(resource), kind: resource.kind, metadata: { ...head, ...rest } };
}

export function renaming(): GantryError {
  return new GantryError("usage", "the name in the body is not the name in the path", {
    hint: "An object can't be renamed: make another, and delete this one.",
  });
}

const UNKNOWN = /^unknown field /;

/** What the request wants of fields that nobody knows: Strict refuses them, Warn and Ignore leave them out. */
export function accepted(call: Call, value: Fields): { readonly value: Fields; readonly warnings: readonly string[] } {
  const mode = call.query.text("fieldValidation") ?? "Warn";
  if (!["Strict", "Warn", "Ignore"].includes(mode))
    throw new GantryError("usage", `fieldValidation: '${mode}' is not one of Strict, Warn, Ignore`);
  const { issues } = check(value);
  const unknown = issues.filter(({ message, atKey }) => atKey === true && UNKNOWN.test(message));
  const said = issues
    .filter(({ severity }) => severity === "warning")
    .map(({ path, message, hint }) => `${fieldName(path)}: ${message}${hint === undefined ? "" : ` (${hint})`}`);
  if (mode === "Strict" || unknown.length === 0) return { value, warnings: said };
  const pruned = structuredClone(value);
  for (const { path } of unknown) removeAt(pruned, path);
  const names = mode === "Warn" ? unknown.map(({ path }) => `unknown field "${fieldName(path)}"`) : [];
  return { value: pruned, warnings: [...names, ...said] };
}

function removeAt(root: unknown, path: readonly (string | number)[]): void {
  const last = path.at(-1);
  let inside = root;
  for (const part of path.slice(0, -1))
    inside = typeof inside === "object" && inside !== null ? Reflect.get(inside, part) : undefined;
  if (typeof inside === "object" && inside !== null && last !== undefined) Reflect.deleteProperty(inside, last);
}

/** A header that kubectl prints (RFC 7234, 299: persistent). */
export function warn(call: Call, text: string): void {
  const quoted = text
    .replace(/[^\x20-\x7e]/g, "?")
    .replace(/["\\]/g, "\\$&")
    .slice(0, 500);
  const before = call.reply.getHeader("warning");
  const all = Array.isArray(before) ? before : before === undefined ? [] : [String(before)];
  call.reply.header("warning", [...all, `299 - "${quoted}"`]);
}

/** @throws GantryError usage, for what is neither absent nor All */
export function isDryRun(call: Call): boolean {
  const asked = call.query.all("dryRun").filter((value) => value !== "");
  if (asked.some((value) => value !== "All"))
    throw new GantryError("usage", `dryRun: '${asked.join(", ")}' is not 'All'`, { hint: "Write dryRun=All." });
  return asked.length > 0;
}

/** @throws conflict, when the object was changed since the client has read it */
export function refuseStale(resource: AnyResource, live: ApiObject, next: unknown): void {
  for (const field of ["resourceVersion", "uid"]) {
    const wanted = at(next, "metadata", field);
    if (wanted === undefined || wanted === "" || wanted === at(live, "metadata", field)) continue;
    const { name } = live.metadata;
    throw new GantryError(
      "conflict",
      `Operation cannot be fulfilled on ${resource.plural} "${name}": the object has been modified; please apply your changes to the latest version and try again`,
      { hint: "Get it again.", details: { name, kind: resource.plural, group: resource.group ?? "" } },
    );
  }
}
