/** ReplicaSet: as many pods as were asked for (k8s.io/kubernetes/pkg/controller/replicaset). Pure. */
import type { ReplicaSet } from "../manifest/index.ts";
import type { Controller, Deed } from "./contract.ts";
import { childName } from "./names.ts";
import { availableAt, byDispensability, countsOf, isActive, podFrom } from "./pods.ts";

export const reconcileReplicaSet: Controller<ReplicaSet> = (me, { pods, now, suffix }) => {
  const { metadata, spec } = me.object;
  const active = pods.filter(isActive);
  const ended = pods.filter((pod) => !isActive(pod) && !pod.deleting);
  const missing = spec.replicas - active.length;
  const made = Array.from({ length: Math.max(0, missing) }, () =>
    podFrom(me, spec.template, childName(metadata.name, suffix())),
  );
  const deeds: Deed[] = [
    // One that was evicted, say: another takes its place.
    ...ended.map(({ key }): Deed => ({ type: "drop", kind: "Pod", key })),
    ...byDispensability(active)
      .slice(0, Math.max(0, -missing))
      .map(({ key }): Deed => ({ type: "drop", kind: "Pod", key })),
    ...made.map((child): Deed => ({ type: "put", child })),
  ];
  const counts = countsOf(pods, spec.minReadySeconds, now);
  return {
    deeds,
    status: { observedGeneration: me.generation, fullyLabeledReplicas: counts.replicas, ...counts },
    lookAt: availableAt(active, spec.minReadySeconds, now),
  };
};
