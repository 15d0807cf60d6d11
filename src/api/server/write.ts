/** Writes to collections: POST, PUT, PATCH and DELETE of objects that a manifest may have. */
import { GantryError } from "../../system/errors.ts";
import { KeyedMutex } from "../../system/keyed-mutex.ts";
import { timestamp } from "../../system/timestamp.ts";
import type { ApiBackend, FieldOwners } from "../contract.ts";
import { afterUpdate, serverSideApply } from "../patch/apply.ts";
import { PATCH_TYPES, patched } from "../patch/patch.ts";
import { at, type Fields, fieldsOf, same, withField } from "../patch/plain.ts";
import { LAST_APPLIED, ownAnnotations, withoutServerFields } from "./bare.ts";
import { readData } from "./body.ts";
import { type AnyResource, type ApiObject, maybeFind, notFound, type Resource } from "./resources.ts";
import type { Call } from "./routing.ts";
import {
  accepted,
  bodyObject,
  isDryRun,
  mediaType,
  nameOf,
  refuseStale,
  renaming,
  settled,
  warn,
} from "./write-request.ts";

const APPLY_TYPE = "application/apply-patch+yaml";

export interface Writes<T extends ApiObject> {
  create(call: Call): Promise<unknown>;
  replace(call: Call): Promise<unknown>;
  patch(call: Call): Promise<unknown>;
  /** Changes an object by a function of what it is. */
  change(call: Call, how: (live: T) => Fields): Promise<unknown>;
}

export function writesOf<T extends ApiObject>(backend: ApiBackend, resource: Resource<T>): Writes<T> {
  /** One change of an object after the other: each sees what the one before it has made. */
  const turns = new KeyedMutex();
  const namespaceOf = (call: Call): string | undefined => (resource.namespaced ? call.param("namespace") : undefined);
  const inTurn = <R>(call: Call, name: string, work: () => Promise<R>): Promise<R> =>
    turns.run(`${namespaceOf(call) ?? ""}/${name}`, work);

  const write = async (call: Call, name: string, live: T | undefined, wanted: Fields, owners: FieldOwners) => {
    const namespace = namespaceOf(call);
    const dryRun = isDryRun(call);
    const asked = live === undefined ? wanted : unplaced(wanted, live);
    const { value, warnings } = accepted(call, withoutServerFields(settled(resource, asked, namespace, name)));
    for (const warning of warnings) warn(call, warning);
    const before = live === undefined ? undefined : folded(withoutServerFields(unplaced(plainOf(live), live)));
    const request = { kind: resource.kind, namespace, name, before, owners, dryRun };
    const after = live === undefined ? value : folded(value);
    const unchanged = live !== undefined && same(before, after) && same(owners, ownersOf(live));
    const { object } = unchanged ? { object: after } : await backend.writeObject({ ...request, after });
    if (live === undefined) call.reply.code(201);
    if (!dryRun && live === undefined) await appeared(resource, namespace, name);
    const now = dryRun ? undefined : maybeFind(resource, namespace, name);
    return now ?? shown(live, object, owners, name);
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
      if (at(given, "metadata", "name") !== call.param("name")) throw renaming();
      return change(call, () => given);
    },
    async patch(call) {
      const type = mediaType(call, [...PATCH_TYPES, APPLY_TYPE]);
      if (type !== APPLY_TYPE) {
        const patch = await readData(call.request, PATCH_TYPES);
        return change(call, (live) => patched(type, plainOf(live), patch));
      }
      const applied = await bodyObject(call, resource, [APPLY_TYPE]);
      const name = call.param("name");
      return inTurn(call, name, async () => {
        const live = maybeFind(resource, namespaceOf(call), name);
        if (live !== undefined) refuseStale(resource, live, applied);
        const { object, managers } = applyTo(call, live, settled(resource, applied, namespaceOf(call), name));
        return write(call, name, live, object, {
          lastApplied: lastAppliedAfter(call, live, applied),
          managedFields: managers,
        });
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

function requireLive<T extends ApiObject>(resource: Resource<T>, namespace: string | undefined, name: string): T {
  const live = maybeFind(resource, namespace, name);
  if (live !== undefined) return live;
  throw notFound(resource, name);
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
    ...ownAnnotations(at(before, "metadata", "annotations")),
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

/** It stays with the object for a later `kubectl apply` without --server-side, and tells of kubectl's last apply then. */
function lastAppliedAfter(call: Call, live: ApiObject | undefined, applied: Fields): string | undefined {
  const given = lastAppliedOf(applied);
  const before = lastAppliedOf(live);
  if (given !== undefined || before === undefined) return given;
  return call.query.text("fieldManager") === "kubectl" ? `${JSON.stringify(applied)}\n` : before;
}

function lastAppliedOf(object: unknown): string | undefined {
  const text = at(object, "metadata", "annotations", LAST_APPLIED);
  return typeof text === "string" ? text : undefined;
}

function plainOf(object: ApiObject): Fields {
  return fieldsOf(object) ?? {};
}

/** Where the server has put it: the node of a pod, the volume of a claim. */
const PLACES: Readonly<Record<string, string>> = { Pod: "nodeName", PersistentVolumeClaim: "volumeName" };

/** Without its place, unless the client says another one. */
function unplaced(object: Fields, live: ApiObject): Fields {
  const place = PLACES[live.kind] ?? "";
  const spec = fieldsOf(object["spec"]);
  if (spec?.[place] === undefined || spec[place] !== at(live, "spec", place)) return object;
  return { ...object, spec: withField(spec, place, undefined) };
}

/** stringData of a Secret is only written, and is data afterwards. */
function folded(object: Fields): Fields {
  const text = fieldsOf(object["stringData"]);
  if (object["kind"] !== "Secret" || text === undefined) return object;
  const encoded = Object.entries(text).map(([key, value]) => [key, Buffer.from(String(value)).toString("base64")]);
  const data = { ...fieldsOf(object["data"]), ...Object.fromEntries(encoded) };
  return { ...withField(object, "stringData", undefined), data };
}
