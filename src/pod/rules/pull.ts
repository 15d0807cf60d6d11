/** When an image is pulled, and how that is told. Pure. */
import type { Image, PullProgress } from "../../image/contract.ts";
import { formatBytes } from "../../image/limits.ts";
import type { Container } from "../../manifest/index.ts";

/** What the kubelet does (k8s.io/kubernetes/pkg/kubelet/images, imageManager). */
export function pullDecision(policy: Container["imagePullPolicy"], held: boolean): "use" | "pull" | "refuse" {
  switch (policy) {
    case "Always":
      return "pull";
    case "IfNotPresent":
      return held ? "use" : "pull";
    case "Never":
      return held ? "use" : "refuse";
  }
}

/** The reason that a container shows which failed to get its image for the `failures`th time in a row. */
export function pullReason(reason: string, failures: number): string {
  return isPullFailure(reason) && failures > 1 ? "ImagePullBackOff" : reason;
}

export function isPullFailure(reason: string): boolean {
  return reason === "ErrImagePull" || reason === "SignatureValidationFailed" || reason === "ImagePullBackOff";
}

/** How far a pull has come: "copying 40 of 100 MiB, 2 of 5 layers". */
export function progressText({ stage, bytes, totalBytes, layers, totalLayers }: PullProgress): string {
  switch (stage) {
    case "waiting":
      return "waiting for its turn";
    case "resolving":
      return "asking the registry";
    case "copying":
      return totalBytes === 0
        ? "copying"
        : `copying ${formatBytes(bytes)} of ${formatBytes(totalBytes)}, ${layers} of ${totalLayers} layers`;
    case "unpacking":
      return `unpacking ${formatBytes(totalBytes)}`;
  }
}

/** Quarters of the bytes that are here: 0 to 3; undefined when there is nothing to tell yet. */
export function quarterOf({ stage, bytes, totalBytes }: PullProgress): number | undefined {
  return stage === "copying" && totalBytes > 0 ? Math.min(3, Math.floor((4 * bytes) / totalBytes)) : undefined;
}

export function presentMessage(image: string): string {
  return `Container image "${image}" already present on machine`;
}

/** @param ms of the pull, and with the time that it waited for others */
export function pulledMessage(name: string, image: Image, ms: number): string {
  const seconds = ms < 1000 ? `${Math.round(ms)}ms` : `${(ms / 1000).toFixed(3)}s`;
  return `Successfully pulled image "${name}" in ${seconds}. Image size: ${image.sizeBytes} bytes.`;
}
