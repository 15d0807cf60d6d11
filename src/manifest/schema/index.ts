/** The schema of every object that a manifest may hold. All types are what is left after validation and defaults. */
export { type ClaimSpec, type PersistentVolumeClaim, persistentVolumeClaim } from "./claim.ts";
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
export { type InertObject, inertObject } from "./inert.ts";
export { type CronJob, cronJob, type Job, type JobSpec, job } from "./job.ts";
export type { ClusterMeta, LabelSelector, ObjectMeta, TemplateMeta } from "./meta.ts";
export { type Pod, type PodDnsConfig, type PodSpec, pod } from "./pod.ts";
export type { Lifecycle, Probe } from "./probe.ts";
export { type RuntimeClass, runtimeClass } from "./runtime-class.ts";
export type { PodSecurityContext, SecurityContext } from "./security.ts";
export { type Service, type ServicePort, service } from "./service.ts";
export {
  type DownwardItem,
  type KeyToPath,
  type Volume,
  type VolumeProjection,
  volume,
  volumeSourceNames,
} from "./volume.ts";
export {
  type ClaimTemplate,
  type DaemonSet,
  type Deployment,
  daemonSet,
  deployment,
  type PodTemplate,
  podTemplate,
  type ReplicaSet,
  replicaSet,
  type StatefulSet,
  statefulSet,
} from "./workload.ts";
