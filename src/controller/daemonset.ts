/** DaemonSet: one pod on this node (k8s.io/kubernetes/pkg/controller/daemon). Pure. */
import type { DaemonSet } from "../manifest/index.ts";
import type { Controller, Deed, PodView } from "./contract.ts";
import { childName } from "./names.ts";
import { availableAt, byDispensability, isActive, isAvailable, podFrom } from "./pods.ts";
import { hashOfRevision, REVISION_LABEL, revisionsOf } from "./revisions.ts";
import { share } from "./rolling.ts";

export const reconcileDaemonSet: Controller<DaemonSet> = (me, { pods, revisions, now, suffix }) => {
  const { metadata, spec } = me.object;
  const hashes = new Set(pods.map(hashOf));
  const { update, deeds: kept } = revisionsOf(me, revisions, hashes);
  const hash = hashOfRevision(update);
  const deeds: Deed[] = [...kept];
  const drop = ({ key }: PodView): void => void deeds.push({ type: "drop", kind: "Pod", key });
  for (const pod of pods) if (!pod.deleting && !isActive(pod)) drop(pod);
  const active = pods.filter(isActive);
  const fresh = active.filter((pod) => hashOf(pod) === hash);
  const old = active.filter((pod) => hashOf(pod) !== hash);
  const create = (): void => {
    const child = podFrom(me, spec.template, childName(metadata.name, suffix()), {
      labels: { [REVISION_LABEL]: hash },
    });
    deeds.push({ type: "put", child });
  };
  const rolls = spec.updateStrategy.type === "RollingUpdate";
  const surges = share(spec.updateStrategy.rollingUpdate?.maxSurge ?? 0, 1, "up") > 0;
  // More than one of a version is left over from a surge, or was made by hand.
  for (const pod of byDispensability(fresh).slice(0, Math.max(0, fresh.length - 1))) drop(pod);
  const [present] = old;
  if (present === undefined) {
    // While one goes away the next waits: they may both want the same host port.
    if (fresh.length === 0 && pods.every(({ deleting }) => !deleting)) create();
  } else if (rolls) {
    const ready = fresh.some((pod) => isAvailable(pod, spec.minReadySeconds, now));
    if (!surges || ready) for (const pod of old) drop(pod);
    else if (fresh.length === 0) create();
  }
  const available = active.filter((pod) => isAvailable(pod, spec.minReadySeconds, now)).length;
  return {
    deeds,
    status: {
      observedGeneration: me.generation,
      desiredNumberScheduled: 1,
      currentNumberScheduled: Math.min(1, active.length),
      numberMisscheduled: 0,
      numberReady: Math.min(1, active.filter(({ ready }) => ready).length),
      numberAvailable: Math.min(1, available),
      numberUnavailable: available > 0 ? 0 : 1,
      updatedNumberScheduled: Math.min(1, fresh.length),
    },
    lookAt: availableAt(active, spec.minReadySeconds, now),
  };
};

function hashOf({ pod }: PodView): string {
  return pod.metadata.labels?.[REVISION_LABEL] ?? "";
}
