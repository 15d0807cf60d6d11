/** Claims that ask for less than their volumes have. Pure. */
import { requestedBytes } from "../../manifest/claim.ts";
import { identityOf, type LoadedObject, type Problem, placeOfField } from "../../manifest/index.ts";
import type { ClaimVolume } from "./contract.ts";
import { shrinkText } from "./entries.ts";
import { imageBytes } from "./image.ts";

const FIELD = "spec.resources.requests.storage";

/** Each with its place in its file. */
export function shrinkProblems(
  written: readonly LoadedObject[],
  volumes: readonly Pick<ClaimVolume, "namespace" | "name" | "capacityBytes">[],
): Problem[] {
  const capacities = new Map(
    volumes.map(({ namespace, name, capacityBytes }) => [`${namespace}/${name}`, capacityBytes]),
  );
  return written.flatMap((loaded): Problem[] => {
    const { object } = loaded;
    if (object.kind !== "PersistentVolumeClaim") return [];
    const { namespace, name } = object.metadata;
    const capacity = capacities.get(`${namespace}/${name}`) ?? 0;
    const wanted = imageBytes(requestedBytes(object.spec));
    if (wanted >= capacity) return [];
    return [
      {
        severity: "error",
        place: placeOfField(loaded, FIELD),
        field: FIELD,
        message: shrinkText(wanted, capacity),
        hint: `Ask for ${capacity / 2 ** 20}Mi or more. For a smaller volume without its data, take the claim out, run 'gantry volume rm ${namespace}/${name}', and put it back.`,
        object: identityOf(object),
      },
    ];
  });
}
