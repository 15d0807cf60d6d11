/** Volumes that are images: pulled as a container's would be, and mounted from the store. */
import { defaultPullPolicy } from "../../manifest/index.ts";
import type { PreparedVolume } from "../../sandbox/driver.ts";
import { GantryError, isGantryError } from "../../system/errors.ts";
import type { DesiredPod } from "../contract.ts";
import { type ImageUser, imageUsed, requireImage } from "./image.ts";
import { type PodScope, tell } from "./scope.ts";
import { as, explain } from "./step-error.ts";

/** @throws StepError InvalidImageName, ErrImageNeverPull, ErrImagePull, SignatureValidationFailed */
export async function prepareImageVolumes(
  scope: PodScope,
  desired: DesiredPod,
  signal: AbortSignal,
): Promise<PreparedVolume[]> {
  const prepared: PreparedVolume[] = [];
  for (const { name, image: source } of desired.pod.spec.volumes ?? []) {
    if (source === undefined) continue;
    const { reference, pullPolicy } = source;
    try {
      if (reference === undefined) throw new GantryError("unsupported", `the image volume ${name} has no reference`);
      const user: ImageUser = {
        // No container can have a name with a blank.
        name: `volume ${name}`,
        image: reference,
        imagePullPolicy: pullPolicy ?? defaultPullPolicy(reference),
      };
      const { digest } = await requireImage(scope, desired, user, signal);
      const hostPath = await as("ErrImagePull", () => scope.ports.images.rootfs(digest, signal));
      imageUsed(scope, user);
      prepared.push({ name, kind: "image", hostPath, imageDigest: digest, readOnly: true });
    } catch (error) {
      if (!isGantryError(error, "cancelled"))
        tell(scope, desired, "Warning", "Failed", `Error: image volume ${name}: ${explain(error)}`);
      throw error;
    }
  }
  return prepared;
}
