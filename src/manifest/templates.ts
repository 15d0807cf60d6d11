/** The pods that an object describes: a Pod itself, and what a workload makes from its template. Pure. */
import type { ManifestObject } from "./contract.ts";
import type { FieldPath } from "./issue.ts";
import { isInertObject } from "./problem.ts";
import type { Pod, PodTemplate, StatefulSet } from "./schema/index.ts";

export interface DescribedPod {
  /** Its name is the workload's, until it gets one of its own. */
  readonly pod: Pod;
  /** Where its fields stand in the object: ["spec", "template"]; [] for a Pod. */
  readonly path: FieldPath;
}

/** @returns undefined for objects that have no pods */
export function describedPod(object: ManifestObject): DescribedPod | undefined {
  if (isInertObject(object)) return undefined;
  switch (object.kind) {
    case "Pod":
      return { pod: object, path: [] };
    case "Deployment":
    case "ReplicaSet":
    case "DaemonSet":
    case "Job":
      return { pod: podOf(object, object.spec.template), path: ["spec", "template"] };
    case "StatefulSet":
      return { pod: withClaims(podOf(object, object.spec.template), object), path: ["spec", "template"] };
    case "CronJob":
      return {
        pod: podOf(object, object.spec.jobTemplate.spec.template),
        path: ["spec", "jobTemplate", "spec", "template"],
      };
    case "ConfigMap":
    case "Secret":
    case "PersistentVolumeClaim":
    case "RuntimeClass":
    case "Service":
      return undefined;
  }
}

function podOf({ metadata: { name, namespace } }: ManifestObject, { metadata, spec }: PodTemplate): Pod {
  return { apiVersion: "v1", kind: "Pod", metadata: { ...metadata, name, namespace: namespace ?? "default" }, spec };
}

/** A claim template stands for a volume of its name, which goes before one of the pod's own. */
function withClaims(pod: Pod, { spec: { volumeClaimTemplates = [] } }: StatefulSet): Pod {
  const names = volumeClaimTemplates.map(({ metadata }) => metadata.name ?? "");
  const own = (pod.spec.volumes ?? []).filter(({ name }) => !names.includes(name));
  const claimed = names.map((name) => ({
    name,
    persistentVolumeClaim: { claimName: `${name}-${pod.metadata.name}-0` },
  }));
  return claimed.length === 0 ? pod : { ...pod, spec: { ...pod.spec, volumes: [...own, ...claimed] } };
}
