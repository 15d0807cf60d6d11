/** The schema of every object that a manifest may hold. All types are what is left after validation and defaults. */
export { type ConfigMap, configMap, type Secret, secret } from "./config.ts";
export {
  type Container,
  type ContainerPort,
  container,
  defaultPullPolicy,
  type PullPolicy,
  type ResourceRequirements,
  type VolumeMount,
} from "./container.ts";
export type { EnvFromSource, EnvVar, EnvVarSource, ObjectFieldSelector, ResourceFieldSelector } from "./env.ts";
export type { ClusterMeta, ObjectMeta } from "./meta.ts";
export { type Pod, type PodDnsConfig, type PodSpec, pod } from "./pod.ts";
export type { Lifecycle, Probe } from "./probe.ts";
export { type RuntimeClass, runtimeClass } from "./runtime-class.ts";
export type { PodSecurityContext, SecurityContext } from "./security.ts";
export { type KeyToPath, type Volume, type VolumeProjection, volume, volumeSourceNames } from "./volume.ts";
