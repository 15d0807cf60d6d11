import { httpError } from "../api/status-error.ts";
import type { Reconciler } from "../reconcile/index.ts";
import type { ObjectId } from "../source/edit-text.ts";
import { gitPlace } from "../source/git/index.ts";
import { type GantryError, isGantryError } from "../system/errors.ts";

type Sources = Pick<Reconciler, "fileOf" | "lookAtSources">;

/**
 * Changes an object where it is written; one that is written where this daemon can't write is refused, with the place
 * where it is to be changed.
 * @throws forbidden (HttpReason), not-found, and what `change` throws
 */
export async function whereWritten<T>(sources: Sources, id: ObjectId, change: () => Promise<T>): Promise<T> {
  try {
    return await change();
  } catch (error) {
    if (!isGantryError(error, "not-found")) throw error;
    // A file that somebody has just taken away is not one that can't be written.
    await sources.lookAtSources();
    const file = sources.fileOf(labelOf(id));
    if (file === undefined) throw error;
    throw httpError(
      "Forbidden",
      `${labelOf(id)} comes from ${placeOf(file)}, which can't be written here: change it there`,
      "A source that is only read is followed again as soon as it says something else.",
    );
  }
}

function placeOf(file: string): string {
  const place = gitPlace(file);
  return place === undefined ? file : `the Git source ${place.source} (${place.path})`;
}

/** "ConfigMap default/settings", "RuntimeClass kata" */
export function labelOf({ kind, namespace, name }: ObjectId): string {
  return namespace === undefined ? `${kind} ${name}` : `${kind} ${namespace}/${name}`;
}

/** For who changes what is in no file any more, though it still runs. */
export function leaving(id: ObjectId): GantryError {
  return httpError(
    "Forbidden",
    `${labelOf(id)} is in no manifest any more: it is on its way out; make it again once it is gone`,
    "Wait for its end: kubectl wait --for=delete",
  );
}
