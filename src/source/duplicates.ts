/** Two manifests of the same object: one stays, both are told. Pure. */
import {
  formatPlace,
  identityOf,
  isInertObject,
  type LoadedObject,
  type Problem,
  placeOfField,
} from "../manifest/index.ts";

export interface Distinct {
  readonly objects: readonly LoadedObject[];
  readonly problems: readonly Problem[];
}

/**
 * Keeps one of each object. A version that is written now goes before one of which only the last good text is
 * left; then the file that `owner` names goes first, then the first in order.
 */
export function distinct(objects: readonly LoadedObject[], owner: (identity: string) => string | undefined): Distinct {
  const kept = new Map<string, LoadedObject>();
  const problems: Problem[] = [];
  for (const [identity, rivals] of Map.groupBy(objects, (loaded) => identityOf(loaded.object))) {
    const fresh = rivals.filter((rival) => !rival.stale);
    const candidates = fresh.length > 0 ? fresh : rivals;
    const winner = candidates.find((rival) => rival.place.file === owner(identity)) ?? candidates[0];
    if (winner === undefined) continue;
    kept.set(identity, winner);
    for (const loser of fresh) {
      // Each part of an application may come with the Namespace of all.
      if (loser === winner || isInertObject(winner.object)) continue;
      problems.push(
        rivalry(
          loser,
          identity,
          `${identity} is defined at ${formatPlace(winner.place)} as well; that one stays in force, this one is ignored`,
        ),
        rivalry(
          winner,
          identity,
          `${identity} is defined at ${formatPlace(loser.place)} as well; this one stays in force`,
        ),
      );
    }
  }
  return { objects: [...kept.values()], problems };
}

function rivalry(at: LoadedObject, object: string, message: string): Problem {
  return {
    severity: "error",
    place: placeOfField(at, "metadata.name"),
    field: "metadata.name",
    message,
    hint: "rename or remove one of them",
    object,
  };
}
