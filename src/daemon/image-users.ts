import { type ImageStore, normalizeName } from "../image/index.ts";
import type { PodState, PodSupervisor } from "../pod/contract.ts";
import { volumeImagesOf } from "../pod/labels.ts";
import type { Reconciler } from "../reconcile/index.ts";
import { GantryError } from "../system/errors.ts";

interface Parts {
  readonly supervisor: PodSupervisor;
  readonly reconciler: Pick<Reconciler, "allObserved">;
}

/** @throws GantryError not-found */
export async function requireImage(images: ImageStore, name: string): Promise<void> {
  const held = await images.list();
  const known = held.some(({ digest }) => digest === name || digest.startsWith(`sha256:${name}`));
  if (known || (await images.resolve(name)) !== undefined) return;
  throw new GantryError("not-found", `no image ${name}`, { hint: "'gantry image ls' lists the images." });
}

/** The next run of a container needs its image by name again. */
export function usersOf({ supervisor, reconciler }: Parts, digest: string, name: string | undefined): string[] {
  const isUser = ({ imageDigest, image }: PodState["containers"][number]): boolean =>
    imageDigest === digest && (name === undefined || normalizeName(image) === name);
  const hasVolume = ({ uid, desired }: PodState): boolean => {
    const sandboxes = reconciler.allObserved().get(uid) ?? [];
    if (!sandboxes.some((sandbox) => volumeImagesOf(sandbox.labels).includes(digest))) return false;
    const references = (desired.pod.spec.volumes ?? []).flatMap(({ image }) => image?.reference ?? []);
    return name === undefined || references.some((reference) => normalizeName(reference) === name);
  };
  return supervisor
    .list()
    .filter((pod) => pod.containers.some(isUser) || hasVolume(pod))
    .map(({ desired }) => desired.key);
}
