/** Pods: one machine for each, their rules, and what they do to the world. */
export type * from "./contract.ts";
export { MAX_BACKOFF_ANNOTATION, SANDBOX_HASH_LABEL } from "./labels.ts";
export { createPodSupervisor, type PodSupervisorOptions } from "./supervisor.ts";
