/** Checks across fields, as the API server makes them once every field by itself is right. Pure. */
import type { ManifestObject } from "../contract.ts";
import type { FieldPath, Issue } from "../issue.ts";
import { describedPod } from "../templates.ts";
import { vmIssues } from "../vm.ts";
import { validateClaim } from "./claim.ts";
import { validateMetadata } from "./metadata.ts";
import { validatePod } from "./pod.ts";
import { validateService } from "./service.ts";
import { validateWorkload } from "./workload.ts";

/** Notes one error. */
export type Report = (path: FieldPath, message: string, hint?: string) => void;

export function validate(object: ManifestObject): Issue[] {
  const issues: Issue[] = [];
  const report: Report = (path, message, hint) => {
    issues.push({ severity: "error", path, message, hint });
  };
  validateMetadata(object.metadata, report);
  switch (object.kind) {
    case "Pod":
      validatePod(object, report);
      issues.push(...vmIssues(object.metadata.annotations));
      break;
    case "ConfigMap":
      for (const key of Object.keys(object.binaryData ?? {})) {
        if (object.data !== undefined && Object.hasOwn(object.data, key))
          report(["binaryData", key], `the key '${key}' is in data, too`, "keep one");
      }
      break;
    case "Secret":
    case "RuntimeClass":
      break;
    case "PersistentVolumeClaim":
      validateClaim(object, report);
      break;
    case "Service":
      validateService(object, report);
      break;
    case "Deployment":
    case "ReplicaSet":
    case "DaemonSet":
    case "StatefulSet":
    case "Job":
    case "CronJob":
      validateWorkload(object, report);
      break;
  }
  const described = object.kind === "Pod" ? undefined : describedPod(object);
  if (described !== undefined) {
    const { pod, path: base } = described;
    validatePod(pod, (path, message, hint) => report([...base, ...path], message, hint));
    issues.push(...vmIssues(pod.metadata.annotations).map((issue) => ({ ...issue, path: [...base, ...issue.path] })));
  }
  return issues;
}
