/** Writes to collections: POST, PUT, PATCH and DELETE of objects that a manifest may have. */
import { randomInt } from "node:crypto";
import { parse } from "yaml";
import { check } from "../../manifest/index.ts";
import { GantryError } from "../../system/errors.ts";
import { KeyedMutex } from "../../system/keyed-mutex.ts";
import { timestamp } from "../../system/timestamp.ts";
import type { ApiBackend, FieldOwners } from "../contract.ts";
import { afterUpdate, serverSideApply } from "../patch/apply.ts";
import { jsonPatch } from "../patch/json-patch.ts";
import { mergePatch } from "../patch/merge-patch.ts";
import { at, type Fields, fieldsOf, same, withField } from "../patch/plain.ts";
import { strategicMerge } from "../patch/strategic.ts";
import { httpError } from "../status-error.ts";
import { LAST_APPLIED, withoutServerFields } from "./bare.ts";
import { readBody } from "./body.ts";
import { type AnyResource, type ApiObject, groupVersion, maybeFind, type Resource } from "./resources.ts";
import type { Call } from "./routing.ts";

const BODY_TYPES = ["application/json", "application/yaml", "application/x-yaml", "text/yaml"];
const PATCH_TYPES = [
  "application/json-patch+json",
  "application/merge-patch+json",
  "application/strategic-merge-patch+json",
  "application/apply-patch+yaml",
] as const;

const NAME_CHARACTERS = "bcdfghjklmnpqrstvwxz2456789";

/** One change of an object after the other: each sees what the one before it has made. */
const turns = new KeyedMutex();

export interface Writes<T extends ApiObject> {
  create(call: Call): Promise<unknown>;
  replace(call: Call): Promise<unknown>;
  patch(call: Call): Promise<unknown>;
  /** Changes an object by a function of what it is. */
  change(call: Call, how: (live: T) => Fields): Promise<unknown>;
}

export function writesOf<T extends ApiObject>(backend: ApiBackend, resource: Resource<T>): Writes<T> {
  const namespaceOf = (call: Call): string | undefined => (resource.namespaced ? call.param("namespace") : undefined);
  const inTurn = <R>(call: Call, name: string, work: () => Promise<R>): Promise<R> =>
    turns.run(`${resource.kind} ${namespaceOf(call) ?? ""}/${name}`, work);

  const write = async (call: Call, name: string, live: T | undefined, wanted: Fields, owners: FieldOwners) => {
    const namespace = namespaceOf(call);
    const dryRun = isDryRun(call);
    const { value, warnings } = accepted(call, withoutServerFields(settled(resource, wanted, namespace, name)));
    for (const warning of warnings) warn(call, warning);
    const before = live === undefined ? undefined : folded(withoutServerFields(plainOf(live)));
    const request = { kind: resource.kind, namespace, name, before, owners, dryRun };
    const after = live === undefined ? value : folded(value);
    const unchanged = live !== undefined && same(before, after) && same(owners, ownersOf(live));
    const { object } = unchanged ? { object: after } : await backend.writeObject({ ...request, after });
    if (live === undefined) call.reply.code(201);
    if (!dryRun && live === undefined) await appeared(resource, namespace, name);
    const now = dryRun ? undefined : maybeFind(resource, namespace, name);
    // A pod that is made anew goes on being served as it was until its successor takes its place.
    return now !== undefined && (resource.kind !== "Pod" || live === undefined)
      ? now
      : shown(live, object, owners, name);
  };

  const change = async (call: Call, how: (live: T) => Fields, ownersFor = keepOwners): Promise<unknown> => {
    const name = call.param("name");
    return inTurn(call, name, async () => {
      const live = requireLive(resource, namespaceOf(call), name);
      const next = how(live);
      refuseStale(resource, live, next);
      return write(call, name, live, next, ownersFor(call, live, next));
    });
  };

  return {
    async create(call) {
      const given = await bodyObject(call, resource);
      const name = nameOf(given);
      return inTurn(call, name, async () => {
        if (maybeFind(resource, namespaceOf(call), name) !== undefined) {
          throw new GantryError("already-exists", `${resource.plural} "${name}" already exists`, {
            details: { name, kind: resource.plural, group: resource.group ?? "" },
          });
        }
        return write(call, name, undefined, given, { lastApplied: lastAppliedOf(given) });
      });
    },
    async replace(call) {
      const given = await bodyObject(call, resource);
      if (at(given, "metadata", "name") !== call.param("name")) {
        throw new GantryError("usage", "the name in the body is not the name in the path", {
          hint: "An object can't be renamed: make another, and delete this one.",
        });
      }
      return change(call, () => given);
    },
    async patch(call) {
      const type = mediaType(call);
      if (type !== "application/apply-patch+yaml") {
        const patch = parsed(await readBody(call.request.raw, type, { contentTypes: PATCH_TYPES }), "json");
        return change(call, (live) => patched(type, plainOf(live), patch));
      }
      const applied = await bodyObject(call, resource, PATCH_TYPES);
      const name = call.param("name");
      return inTurn(call, name, async () => {
        const live = maybeFind(resource, namespaceOf(call), name);
        const { object, managers } = applyTo(call, live, settled(resource, applied, namespaceOf(call), name));
        return write(call, name, live, object, { lastApplied: lastAppliedOf(object), managedFields: managers });
      });
    },
    change,
  };
}

function applyTo(call: Call, live: ApiObject | undefined, applied: Fields) {
  const manager = call.query.text("fieldManager");
  if (manager === undefined)
    throw new GantryError("usage", "an apply needs to say who applies", { hint: "Add ?fieldManager=NAME." });
  if (at(applied, "metadata", "managedFields") !== undefined)
    throw new GantryError("usage", "metadata.managedFields must not be applied", { hint: "Leave it out." });
  const managers = ownersOf(live).managedFields ?? [];
  const outcome = serverSideApply({
    live: live === undefined ? undefined : withoutServerFields(plainOf(live)),
    applied: withoutServerFields(applied),
    ...{ managers, manager, force: call.query.flag("force"), time: timestamp(Date.now()) },
  });
  if ("object" in outcome) return { object: fieldsOf(outcome.object) ?? {}, managers: outcome.managers };
  const said = outcome.conflicts.map((one) => `conflict with "${one.manager}": ${one.field}`);
  const causes = outcome.conflicts.map((one) => ({
    ...{ reason: "FieldManagerConflict", field: one.field, message: `conflict with "${one.manager}"` },
  }));
  const count = said.length === 1 ? "1 conflict" : `${said.length} conflicts`;
  throw new GantryError("conflict", `Apply failed with ${count}: ${said.join(", ")}`, {
    hint: "Leave these fields out, set them to what they are, or apply with force.",
    details: { causes },
  });
}

function patched(type: string, live: Fields, patch: unknown): Fields {
  const result = type === "application/json-patch+json" ? jsonPatch(live, patch) : merged(type, live, patch);
  const fields = fieldsOf(result);
  if (fields !== undefined) return fields;
  throw new GantryError("invalid-manifest", "the patch leaves no object", { hint: "Nothing was changed." });
}

function merged(type: string, live: Fields, patch: unknown): unknown {
  if (fieldsOf(patch) === undefined)
    throw new GantryError("usage", "the patch is not an object", {
      hint: 'Send {"spec":{"replicas":3}}, for example.',
    });
  return type === "application/merge-patch+json" ? mergePatch(live, patch) : strategicMerge(live, patch);
}

function mediaType(call: Call): (typeof PATCH_TYPES)[number] {
  const given = call.request.headers["content-type"]?.split(";")[0]?.trim().toLowerCase();
  const type = PATCH_TYPES.find((one) => one === given);
  if (type !== undefined) return type;
  throw httpError(
    "UnsupportedMediaType",
    `can't take a patch of the type '${given ?? ""}'`,
    `Types are ${PATCH_TYPES.join(", ")}.`,
  );
}

async function bodyObject(call: Call, resource: AnyResource, types: readonly string[] = BODY_TYPES): Promise<Fields> {
  const type = call.request.headers["content-type"];
  const text = await readBody(call.request.raw, type, { contentTypes: types });
  const fields = fieldsOf(parsed(text, /yaml/.test(type ?? "") ? "yaml" : "json"));
  if (fields === undefined)
    throw new GantryError("usage", "the body is not an object", { hint: `Send a ${resource.kind}.` });
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
  return { ...fields, kind, apiVersion };
}

function parsed(text: string, format: "json" | "yaml"): unknown {
  if (text.trim() === "") throw new GantryError("usage", "the body is empty", { hint: "Send an object." });
  try {
    return format === "yaml" ? parse(text, { maxAliasCount: 100 }) : JSON.parse(text);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message.split("\n", 1)[0] : "";
    throw new GantryError("usage", `the body is not ${format.toUpperCase()}: ${why}`, { cause });
  }
}

/** Its name, or one that is made from generateName. */
function nameOf(object: Fields): string {
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

/** With the name and namespace of the path. @throws usage when it says another namespace */
function settled(resource: AnyResource, object: Fields, namespace: string | undefined, name: string): Fields {
  const metadata = fieldsOf(object["metadata"]) ?? {};
  const said = metadata["namespace"];
  if (namespace !== undefined && said !== undefined && said !== "" && said !== namespace) {
    throw new GantryError(
      "usage",
      `the namespace of the object (${String(said)}) is not that of the request (${namespace})`,
    );
  }
  const { namespace: _namespace, name: _name, generateName: _made, ...rest } = metadata;
  const head = { name, ...(namespace === undefined ? {} : { namespace }) };
  return { ...object, apiVersion: groupVersion(resource), kind: resource.kind, metadata: { ...head, ...rest } };
}

const UNKNOWN = /^unknown field /;

/** What the request wants of fields that nobody knows: Strict refuses them, Warn and Ignore leave them out. */
function accepted(call: Call, value: Fields): { readonly value: Fields; readonly warnings: readonly string[] } {
  const mode = call.query.text("fieldValidation") ?? "Warn";
  if (!["Strict", "Warn", "Ignore"].includes(mode))
    throw new GantryError("usage", `fieldValidation: '${mode}' is not one of Strict, Warn, Ignore`);
  const { issues } = check(value);
  const unknown = issues.filter(({ message, atKey }) => atKey === true && UNKNOWN.test(message));
  const dotted = (path: readonly (string | number)[]): string => path.join(".");
  const said = issues
    .filter(({ severity }) => severity === "warning")
    .map(({ path, message, hint }) => `${dotted(path)}: ${message}${hint === undefined ? "" : ` (${hint})`}`);
  if (mode === "Strict" || unknown.length === 0) return { value, warnings: said };
  const pruned = structuredClone(value);
  for (const { path } of unknown) removeAt(pruned, path);
  const names = mode === "Warn" ? unknown.map(({ path }) => `unknown field "${dotted(path)}"`) : [];
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
function refuseStale(resource: AnyResource, live: ApiObject, next: Fields): void {
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

function requireLive<T extends ApiObject>(resource: Resource<T>, namespace: string | undefined, name: string): T {
  const live = maybeFind(resource, namespace, name);
  if (live !== undefined) return live;
  throw new GantryError("not-found", `${resource.plural} "${name}" not found`, {
    details: { name, kind: resource.plural, group: resource.group ?? "" },
  });
}

/** A pod takes a moment from its file to its first status. */
async function appeared(resource: AnyResource, namespace: string | undefined, name: string): Promise<void> {
  if (maybeFind(resource, namespace, name) !== undefined || resource.cache === undefined) return;
  const { cache } = resource;
  await new Promise<void>((resolve) => {
    const timer = setTimeout(done, APPEARS_WITHIN_MS);
    const unsubscribe = cache.subscribe(() => {
      if (maybeFind(resource, namespace, name) !== undefined) done();
    });
    function done(): void {
      clearTimeout(timer);
      unsubscribe();
      resolve();
    }
  });
}

const APPEARS_WITHIN_MS = 3000;

/** The object as the write leaves it, where it is not served yet. */
function shown(
  live: ApiObject | undefined,
  object: unknown,
  { lastApplied, managedFields }: FieldOwners,
  name: string,
): Fields {
  const before = live === undefined ? {} : plainOf(live);
  const metadata = fieldsOf(fieldsOf(object)?.["metadata"]) ?? {};
  const {
    uid,
    resourceVersion = "0",
    creationTimestamp = timestamp(Date.now()),
    generation,
  } = fieldsOf(before["metadata"]) ?? {};
  const annotations = {
    ...fieldsOf(metadata["annotations"]),
    ...(lastApplied !== undefined && { [LAST_APPLIED]: lastApplied }),
  };
  return {
    ...fieldsOf(object),
    metadata: {
      ...metadata,
      name,
      ...{ uid: uid ?? "00000000-0000-0000-0000-000000000000", resourceVersion, creationTimestamp },
      ...(generation !== undefined && { generation }),
      ...(Object.keys(annotations).length > 0 && { annotations }),
      ...(managedFields !== undefined && { managedFields }),
    },
    ...(before["status"] !== undefined && { status: before["status"] }),
  };
}

function keepOwners(call: Call, live: ApiObject, next: Fields): FieldOwners {
  const { managedFields } = ownersOf(live);
  const lastApplied = lastAppliedOf(next);
  if (managedFields === undefined) return { lastApplied };
  const manager = call.query.text("fieldManager") ?? call.request.headers["user-agent"]?.split("/")[0] ?? "unknown";
  const [before, after] = [withoutServerFields(plainOf(live)), withoutServerFields(next)];
  return { lastApplied, managedFields: afterUpdate(managedFields, before, after, manager, timestamp(Date.now())) };
}

function ownersOf(live: ApiObject | undefined): FieldOwners {
  const managedFields = at(live, "metadata", "managedFields");
  const fields = Array.isArray(managedFields) ? managedFields.map((entry) => fieldsOf(entry) ?? {}) : undefined;
  const lastApplied = lastAppliedOf(live);
  return fields === undefined ? { lastApplied } : { lastApplied, managedFields: fields };
}

function lastAppliedOf(object: unknown): string | undefined {
  const text = at(object, "metadata", "annotations", LAST_APPLIED);
  return typeof text === "string" ? text : undefined;
}

/** What is served is frozen for nobody: it is only ever read. */
function plainOf(object: ApiObject): Fields {
  return fieldsOf(object) ?? {};
}

/** stringData of a Secret is only written, and is data afterwards. */
function folded(object: Fields): Fields {
  const text = fieldsOf(object["stringData"]);
  if (object["kind"] !== "Secret" || text === undefined) return object;
  const encoded = Object.entries(text).map(([key, value]) => [key, Buffer.from(String(value)).toString("base64")]);
  const data = { ...fieldsOf(object["data"]), ...Object.fromEntries(encoded) };
  return { ...withField(object, "stringData", undefined), data };
}
