/** Volumes: what pods mount from the host, besides their images. */
export type * from "./claim/contract.ts";
export type * from "./contract.ts";
export { createVolumeManager, type VolumeManagerOptions } from "./manager.ts";
