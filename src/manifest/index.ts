/** Manifests: the schema of every object, and reading files of them. */
export type * from "./contract.ts";
export { isInert, isOfCluster } from "./foreign-kinds.ts";
export { check, oversized, type ParseOptions, parseManifest, parseManifestText } from "./parse.ts";
export { placeOfField } from "./places.ts";
export { byPosition, formatPlace, formatProblem, identityOf, isInertObject } from "./problem.ts";
export { parseBytes, parseMilliCpu, parseQuantity } from "./quantity.ts";
export type * from "./schema/index.ts";
export { defaultPullPolicy } from "./schema/index.ts";
export { isEmptySelector, selects } from "./selector.ts";
export { PRUNE_ANNOTATION, staysUnpruned, WAVE_ANNOTATION, waveIn } from "./sync-annotations.ts";
export { type DescribedPod, describedPod } from "./templates.ts";
export { DEFAULT_SIZE_LIMIT } from "./yaml/decode.ts";
