/** The containers of a pod in the order in which its spec gives them: init containers and sidecars, then mains. */
import type { Container } from "../../manifest/index.ts";
import type { ContainerState, DesiredPod } from "../contract.ts";

export type ContainerKind = ContainerState["kind"];
export type RestartPolicy = "Always" | "OnFailure" | "Never";

export interface Slot {
  readonly name: string;
  readonly kind: ContainerKind;
  readonly spec: Container;
  /** What its spec hashes to; facts that hold another hash were made from another spec. */
  readonly hash: string;
  readonly policy: RestartPolicy;
}

const memo = new WeakMap<DesiredPod, readonly Slot[]>();

export function slotsOf(desired: DesiredPod): readonly Slot[] {
  const known = memo.get(desired);
  if (known !== undefined) return known;
  const { initContainers = [], containers, restartPolicy } = desired.pod.spec;
  const slot = (spec: Container, kind: ContainerKind): Slot => ({
    name: spec.name,
    kind,
    spec,
    hash: desired.containerHashes[spec.name] ?? "unhashed",
    policy: spec.restartPolicy ?? restartPolicy,
  });
  const slots = [
    ...initContainers.map((spec) => slot(spec, spec.restartPolicy === "Always" ? "sidecar" : "init")),
    ...containers.map((spec) => slot(spec, "main")),
  ];
  memo.set(desired, slots);
  return slots;
}
