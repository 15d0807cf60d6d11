/** Git repositories as sources of manifests. */
export type { Revision } from "./commit.ts";
export type { GitPorts, PodFact } from "./contract.ts";
export type { SeenPod } from "./drift.ts";
export { gitPlace, placePrefix } from "./read-revision.ts";
export { type GitSourceInput, type GitSourceSpec, gitSourceSchema } from "./schema.ts";
export type { SourceDiff, SyncWish } from "./source.ts";
export { GitSources } from "./sources.ts";
export type { SourceStatus } from "./status.ts";
