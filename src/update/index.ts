/** Pods that follow their tags: looked up, rolled, and rolled back. */
export { AUTO_UPDATE_ANNOTATION, annotationProblems, DEADLINE_ANNOTATION } from "./annotations.ts";
export { createUpdater, type Updater, type UpdaterOptions } from "./updater.ts";
