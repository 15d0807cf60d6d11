/** Columns of claims and volumes, as a cluster has them. Pure. */
import { at } from "../../patch/plain.ts";
import { ageColumn, type Columns, listAt, nameColumn, orEmpty, text, textAt, wide } from "./column.ts";

const SHORT_MODES: Readonly<Record<string, string>> = {
  ReadWriteOnce: "RWO",
  ReadOnlyMany: "ROX",
  ReadWriteMany: "RWX",
  ReadWriteOncePod: "RWOP",
};

export const STORAGE_COLUMNS = {
  PersistentVolumeClaim: [
    nameColumn,
    text("Status", "status", "phase"),
    { name: "Volume", cell: (object) => orEmpty(at(object, "spec", "volumeName")) },
    { name: "Capacity", cell: (object) => orEmpty(at(object, "status", "capacity", "storage")) },
    { name: "Access Modes", cell: (object) => listAt(object, "status", "accessModes").map(shortMode).join(",") },
    { name: "StorageClass", cell: (object) => orEmpty(at(object, "spec", "storageClassName")) },
    { name: "VolumeAttributesClass", cell: () => "<unset>" },
    ageColumn,
    wide({ name: "VolumeMode", cell: (object) => orEmpty(at(object, "spec", "volumeMode") ?? "Filesystem") }),
  ],
  PersistentVolume: [
    nameColumn,
    { name: "Capacity", cell: (object) => orEmpty(at(object, "spec", "capacity", "storage")) },
    { name: "Access Modes", cell: (object) => listAt(object, "spec", "accessModes").map(shortMode).join(",") },
    { name: "Reclaim Policy", cell: (object) => orEmpty(at(object, "spec", "persistentVolumeReclaimPolicy")) },
    { name: "Status", cell: (object) => orEmpty(at(object, "status", "phase")) },
    {
      name: "Claim",
      cell: (object) =>
        `${textAt(object, "spec", "claimRef", "namespace")}/${textAt(object, "spec", "claimRef", "name")}`,
    },
    { name: "StorageClass", cell: (object) => orEmpty(at(object, "spec", "storageClassName")) },
    { name: "VolumeAttributesClass", cell: () => "<unset>" },
    { name: "Reason", cell: (object) => orEmpty(at(object, "status", "reason")) },
    ageColumn,
    wide({ name: "VolumeMode", cell: (object) => orEmpty(at(object, "spec", "volumeMode")) }),
  ],
  StorageClass: [
    {
      name: "Name",
      cell: (object) =>
        at(object, "metadata", "annotations", "storageclass.kubernetes.io/is-default-class") === "true"
          ? `${textAt(object, "metadata", "name")} (default)`
          : textAt(object, "metadata", "name"),
    },
    text("Provisioner", "provisioner"),
    { name: "ReclaimPolicy", cell: (object) => orEmpty(at(object, "reclaimPolicy") ?? "Delete") },
    { name: "VolumeBindingMode", cell: (object) => orEmpty(at(object, "volumeBindingMode") ?? "Immediate") },
    { name: "AllowVolumeExpansion", type: "boolean", cell: (object) => at(object, "allowVolumeExpansion") === true },
    ageColumn,
  ],
} satisfies Columns;

function shortMode(mode: unknown): string {
  return SHORT_MODES[String(mode)] ?? String(mode);
}
