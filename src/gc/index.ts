/** Garbage: images, blobs and logs that nobody needs, by age and by how full the disk is. */
export { type CollectOptions, collectGarbage, type GcReport, type Needs } from "./collect.ts";
export { imageNamesIn } from "./names.ts";
export { type GcSettings, type ImagePlan, planImages, type Removal, settingsOf } from "./plan.ts";
