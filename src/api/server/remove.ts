/** DELETE of objects and collections. */
import { GantryError, isGantryError } from "../../system/errors.ts";
import { at, type Fields, fieldsOf } from "../patch/plain.ts";
import type { StatusObject } from "../wire.ts";
import { OBJECT_TYPES, readDataIfAny } from "./body.ts";
import {
  type AnyResource,
  type ApiObject,
  find,
  groupVersion,
  inFormat,
  maybeFind,
  notFound,
  type Resource,
  selectionOf,
} from "./resources.ts";
import type { Call } from "./routing.ts";
import { isDryRun } from "./write-request.ts";

export interface DeleteOptions {
  readonly graceMs: number | undefined;
  readonly dryRun: boolean;
}

type Remove = (namespace: string, name: string, graceMs: number | undefined) => Promise<void>;

/** @param remove takes it out of its file, or away from its controller */
export function removalsOf<T extends ApiObject>(resource: Resource<T>, remove: Remove) {
  const { plural, namespaced } = resource;
  const uidOf = (object: T | undefined): unknown => at(object, "metadata", "uid");
  return {
    async remove(call: Call): Promise<unknown> {
      const namespace = namespaced ? call.param("namespace") : undefined;
      const name = call.param("name");
      const options = await deleteOptions(call);
      // A pod may be written and yet not run: its manifest can be taken away all the same.
      const live = resource.kind === "Pod" ? maybeFind(resource, namespace, name) : find(resource, namespace, name);
      refuseOtherObject(resource, name, live, options.body);
      if (options.dryRun) return live === undefined ? success({ name, kind: plural }) : inFormat(call, resource, live);
      try {
        await remove(namespace ?? "", name, options.graceMs);
      } catch (error) {
        if (live !== undefined || !isGantryError(error, "not-found")) throw error;
        throw notFound(resource, name, error.message);
      }
      const left = maybeFind(resource, namespace, name);
      if (resource.kind === "Pod" && left !== undefined && uidOf(left) === uidOf(live))
        return inFormat(call, resource, left);
      const uid = uidOf(live);
      return success({
        name,
        kind: plural,
        ...(resource.group ? { group: resource.group } : {}),
        ...(typeof uid === "string" && { uid }),
      });
    },
    async removeAll(call: Call): Promise<unknown> {
      const options = await deleteOptions(call);
      const chosen = resource.list().filter(selectionOf(call, resource));
      if (!options.dryRun) {
        for (const { metadata } of chosen) {
          // One that its owner has taken away meanwhile is what was asked for.
          if (maybeFind(resource, metadata.namespace, metadata.name) !== undefined)
            await remove(metadata.namespace ?? "", metadata.name, options.graceMs);
        }
      }
      const metadata = { resourceVersion: String(resource.cache?.version ?? 0) };
      return { kind: `${resource.kind}List`, apiVersion: groupVersion(resource), metadata, items: chosen };
    },
  };
}

/** From the query, or from the body (v1 DeleteOptions, which kubectl sends). The query wins. */
async function deleteOptions(call: Call): Promise<DeleteOptions & { readonly body: Fields }> {
  const data = await readDataIfAny(call.request, OBJECT_TYPES, "Send v1 DeleteOptions, or no body.");
  const body = data === undefined ? {} : fieldsOf(data);
  if (body === undefined)
    throw new GantryError("usage", "the body is not an object", { hint: "Send v1 DeleteOptions, or no body." });
  return optionsOf(call, body);
}

function optionsOf(call: Call, body: Fields): DeleteOptions & { readonly body: Fields } {
  const { query } = call;
  const policy = query.text("propagationPolicy") ?? body["propagationPolicy"];
  if (policy === "Orphan" || body["orphanDependents"] === true || query.text("orphanDependents") === "true") {
    throw new GantryError(
      "unsupported",
      "what an object keeps goes with it: propagationPolicy Orphan is not possible",
      {
        hint: "Use Background or Foreground (kubectl delete --cascade=background).",
      },
    );
  }
  if (policy !== undefined && policy !== "Background" && policy !== "Foreground")
    throw new GantryError("usage", `propagationPolicy: ${JSON.stringify(policy)} is not Background or Foreground`);
  const asked = body["dryRun"];
  const dryRun = Array.isArray(asked) ? asked : [];
  if (dryRun.some((value) => value !== "All"))
    throw new GantryError("usage", `dryRun: ${JSON.stringify(dryRun)} is not ["All"]`);
  return {
    graceMs: query.secondsAsMs("gracePeriodSeconds") ?? graceOf(body),
    dryRun: isDryRun(call) || dryRun.length > 0,
    body,
  };
}

function refuseOtherObject(resource: AnyResource, name: string, live: ApiObject | undefined, body: Fields): void {
  for (const field of ["uid", "resourceVersion"]) {
    const wanted = at(body, "preconditions", field);
    const now = at(live, "metadata", field);
    if (wanted === undefined || wanted === now) continue;
    throw new GantryError(
      "conflict",
      `the ${field} of ${resource.plural} "${name}" is ${String(now ?? "unknown")}, not ${String(wanted)}`,
      {
        hint: "It was changed or made anew in the meantime; look at it again.",
      },
    );
  }
}

function graceOf(body: Fields): number | undefined {
  const seconds = body["gracePeriodSeconds"];
  if (seconds === undefined || seconds === null) return undefined;
  if (typeof seconds === "number" && seconds >= 0) return seconds * 1000;
  throw new GantryError("usage", `gracePeriodSeconds: ${JSON.stringify(seconds)} is not a number of seconds from 0 up`);
}

/** A v1 Status that says it worked. */
export function success(details: NonNullable<StatusObject["details"]>): StatusObject {
  return { apiVersion: "v1", kind: "Status", metadata: {}, status: "Success", details };
}
