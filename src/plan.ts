/** The ordered, typed steps that bring observed to desired. Pure. */
import type { Difference } from "./diff.ts";
import type { DesiredPod } from "./pod/contract.ts";

export type PlanStep =
  /** These images must be in the store before the next step of this pod is taken. */
  | {
      readonly type: "ensure-images";
      readonly key: string;
      readonly images: readonly string[];
      readonly desired: DesiredPod;
    }
  | { readonly type: "create-pod"; readonly key: string; readonly desired: DesiredPod }
  /** It runs, and no machine drives it yet (the daemon was restarted): take it over. */
  | { readonly type: "adopt-pod"; readonly key: string; readonly uid: string; readonly desired: DesiredPod }
  /** Take over a changed spec: only `containers` are restarted, none when it is empty. */
  | {
      readonly type: "update-pod";
      readonly key: string;
      readonly uid: string;
      readonly desired: DesiredPod;
      readonly containers: readonly string[];
    }
  | { readonly type: "remove-pod"; readonly key: string; readonly uid: string; readonly reason: string };

/**
 * The steps of one key are to be taken in this order, each only after the one before it has come true; different
 * keys do not wait for each other. What frees something (ports, names) comes before what may need it.
 */
export function plan(differences: readonly Difference[]): PlanStep[] {
  const steps = differences.flatMap(stepsOf);
  const created = new Set(steps.filter(({ type }) => type === "create-pod").map(({ key }) => key));
  const frees = (step: PlanStep): boolean => step.type === "remove-pod" && !created.has(step.key);
  return [...steps.filter(frees), ...steps.filter((step) => !frees(step))];
}

function stepsOf(difference: Difference): PlanStep[] {
  const { key } = difference;
  switch (difference.type) {
    case "missing":
      return [{ type: "create-pod", key, desired: difference.desired }];
    case "unmanaged":
      return [{ type: "adopt-pod", key, uid: difference.uid, desired: difference.desired }];
    case "changed":
      return changed(difference);
    case "unwanted":
      return [{ type: "remove-pod", key, uid: difference.uid, reason: difference.reason }];
  }
}

function changed({ key, uid, desired, sandbox, containers }: Difference & { readonly type: "changed" }): PlanStep[] {
  if (sandbox) {
    return [
      { type: "ensure-images", key, images: imagesOf(desired), desired },
      { type: "remove-pod", key, uid, reason: "what its sandbox is made of has changed" },
      { type: "create-pod", key, desired },
    ];
  }
  const images = imagesOf(desired, containers);
  const update: PlanStep = { type: "update-pod", key, uid, desired, containers };
  return images.length === 0 ? [update] : [{ type: "ensure-images", key, images, desired }, update];
}

/** The images of all containers, or of the named ones; each once. */
function imagesOf({ pod }: DesiredPod, names?: readonly string[]): string[] {
  const containers = [...(pod.spec.initContainers ?? []), ...pod.spec.containers];
  const wanted = containers.filter(({ name }) => names === undefined || names.includes(name));
  return [...new Set(wanted.map(({ image }) => image))];
}

/** One line for people. */
export function describeStep(step: PlanStep): string {
  switch (step.type) {
    case "ensure-images":
      return `${step.key}: make sure that the images are here: ${step.images.join(", ")}`;
    case "create-pod":
      return `${step.key}: create (${step.desired.runtimeClass}, from ${step.desired.origin})`;
    case "adopt-pod":
      return `${step.key}: take over what runs`;
    case "update-pod":
      return step.containers.length === 0
        ? `${step.key}: take over changed metadata; nothing is restarted`
        : `${step.key}: restart container ${step.containers.join(", ")}`;
    case "remove-pod":
      return `${step.key}: stop and remove (${step.reason})`;
  }
}
