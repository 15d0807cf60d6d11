/** Checks of metadata that need more than one field. */
import type { ClusterMeta, ObjectMeta } from "../schema/index.ts";
import { syncAnnotationProblems } from "../sync-annotations.ts";
import type { Report } from "./index.ts";

/** Bytes of all annotations of an object together. */
const ANNOTATIONS_LIMIT = 256 * 1024;

export function validateMetadata(metadata: ObjectMeta | ClusterMeta, report: Report): void {
  let size = 0;
  for (const [key, value] of Object.entries(metadata.annotations ?? {})) size += key.length + Buffer.byteLength(value);
  if (size > ANNOTATIONS_LIMIT)
    report(
      ["metadata", "annotations"],
      `all annotations together have ${size} bytes; the most is ${ANNOTATIONS_LIMIT}`,
    );
  for (const { annotation, message, hint } of syncAnnotationProblems(metadata.annotations))
    report(["metadata", "annotations", annotation], message, hint);
}
