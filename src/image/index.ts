/** Images: importing, keeping and mounting them. */
export type * from "./contract.ts";
export { isDigest, normalizeName, parseReference, type Reference, registryOf } from "./name.ts";
export type { PullSettings } from "./pull/puller.ts";
export { buildSampleImage, SAMPLE_IMAGE } from "./sample.ts";
export { createImageStore, type ImageStoreOptions } from "./store.ts";
