/** Sources of manifests. */
export type { Source, SourceState } from "./contract.ts";
export type { ObjectId } from "./edit-text.ts";
export { createFolderSource, type FolderSourceOptions } from "./folder.ts";
export { memoryLastGood } from "./last-good.ts";
export { readManifests } from "./read-manifests.ts";
export { validObject } from "./valid-object.ts";
export { createManifestWriter, type ManifestWriter, type Rewritten, type Written } from "./writer.ts";
