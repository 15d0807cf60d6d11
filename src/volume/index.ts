/** Volumes: what pods mount from the host, besides their images. */
export type * from "./contract.ts";
export { createVolumeManager, type VolumeManagerOptions } from "./manager.ts";
