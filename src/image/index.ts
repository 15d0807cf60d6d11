/** Images: importing, keeping and mounting them. */
export type * from "./contract.ts";
export { isDigest, normalizeName, parseReference, type Reference } from "./name.ts";
export { buildSampleImage, SAMPLE_IMAGE } from "./sample.ts";
export { createImageStore, type ImageStoreOptions, type PullSettings } from "./store.ts";
