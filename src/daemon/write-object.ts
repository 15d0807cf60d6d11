import type { WriteRequest, WriteResult } from "../api/contract.ts";
import { at, fieldsOf, isRecord } from "../api/patch/plain.ts";
import { httpError } from "../api/status-error.ts";
import { inVersion } from "../api/versions.ts";
import { isInert } from "../manifest/index.ts";
import { carryOver } from "../source/carry-over.ts";
import { validObject } from "../source/index.ts";
import { GantryError, isGantryError } from "../system/errors.ts";
import type { BackendParts } from "./backend.ts";
import { writtenNamespace } from "./namespaces.ts";
import { refuseShrinking } from "./refuse-shrinking.ts";
import { labelOf, leaving, whereWritten } from "./where-written.ts";

/** A write through the API: first a file of the manifest folder, and by that an object. */
export async function writeObject(parts: BackendParts, request: WriteRequest): Promise<WriteResult> {
  const { kind, namespace, name, owners, dryRun } = request;
  const result = await (isNew(parts, request) ? create(parts, request) : change(parts, request));
  if (dryRun) return result;
  const key = namespace === undefined ? name : `${namespace}/${name}`;
  parts.facts.keepOwners(`${kind} ${key}`, owners);
  await parts.reconciler.lookAtSources();
  if (kind === "Pod") {
    for (const { uid, desired } of parts.supervisor.list()) if (desired.key === key) parts.objects.refresh(uid);
  } else parts.workloads.refresh();
  return result;
}

/** A namespace may be there without being written. */
function isNew({ reconciler }: BackendParts, { kind, name, before }: WriteRequest): boolean {
  return before === undefined || (kind === "Namespace" && reconciler.fileOf(`Namespace ${name}`) === undefined);
}

async function create(
  { writer, volumes, reconciler }: BackendParts,
  { kind, namespace, name, after: wanted, dryRun }: WriteRequest,
): Promise<WriteResult> {
  const after = kind === "Namespace" ? writtenNamespace(fieldsOf(wanted) ?? {}) : wanted;
  const object = validObject(after);
  const text = JSON.stringify(after);
  await refuseShrinking(volumes, text);
  const there = writer.fileOf({ kind, namespace, name }) ?? reconciler.fileOf(labelOf({ kind, namespace, name }));
  if (there !== undefined) {
    throw new GantryError(
      "already-exists",
      `${labelOf({ kind, namespace, name })} is written in ${there}, though it is not in force`,
      {
        hint: "See why: gantry status",
      },
    );
  }
  if (dryRun) return { object, file: undefined };
  const [written] = await writer.create(after);
  return { object, file: written?.file };
}

async function change(
  { writer, volumes, reconciler }: BackendParts,
  { kind, namespace, name, before, after, dryRun }: WriteRequest,
): Promise<WriteResult> {
  const id = { kind, namespace, name };
  const { controllers } = reconciler;
  const key = `${namespace}/${name}`;
  if (controllers.madeKind(kind, key) !== undefined || (kind === "Pod" && controllers.owns(key))) {
    throw httpError(
      "Forbidden",
      `${labelOf(id)} was made by its controller, and is in no file`,
      "Change what it was made by: see its ownerReferences.",
    );
  }
  if (kind === "PersistentVolumeClaim") await refuseShrinking(volumes, JSON.stringify(after));
  try {
    const carry = (written: unknown): unknown => {
      // A client may speak another version than the file: what it has changed is changed in that of the file.
      const version = at(written, "apiVersion");
      const inFile = (object: unknown) =>
        typeof version === "string" && isInert(kind) && isRecord(object) ? inVersion(object, version) : object;
      return carryOver(written, inFile(before), inFile(after));
    };
    const rewrite = () => writer.rewrite(id, carry, dryRun);
    return await whereWritten(reconciler, id, rewrite);
  } catch (error) {
    // Kubernetes' clients try again after a conflict, which this is not; and they show no hints.
    if (isGantryError(error, "conflict"))
      throw httpError("Forbidden", [error.message, error.hint].filter((text) => text !== undefined).join(". "));
    throw isGantryError(error, "not-found") ? leaving(id) : error;
  }
}
