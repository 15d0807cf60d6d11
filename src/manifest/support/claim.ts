/** What Gantry does with the fields of what a PersistentVolumeClaim asks for. */
import { STORAGE_CLASSES } from "../claim.ts";
import type { ClaimSpec } from "../schema/index.ts";
import { type Fields, noEffect, only } from "./rules.ts";

const ownVolume = { refused: "every claim gets a new volume of its own here; leave it out" };

export const claimSpecRules: Fields<ClaimSpec> = {
  accessModes: "supported",
  dataSource: { refused: "a volume begins empty here; copy the data in with a pod" },
  dataSourceRef: { refused: "a volume begins empty here; copy the data in with a pod" },
  resources: {
    fields: { limits: noEffect("a volume is as large as its request"), requests: "supported" },
  },
  selector: ownVolume,
  storageClassName: {
    values: STORAGE_CLASSES,
    otherwise: noEffect(
      `all volumes are files of this host; ${STORAGE_CLASSES.join(" or ")} says what becomes of the data`,
    ),
  },
  volumeAttributesClassName: noEffect("all volumes are files of this host"),
  volumeMode: only(["Filesystem"], "raw block devices (volumeMode Block) are not supported; Filesystem is"),
  volumeName: ownVolume,
};
