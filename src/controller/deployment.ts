/** Deployment: one ReplicaSet for each version of the template (k8s.io/kubernetes/pkg/controller/deployment). Pure. */
import type { Deployment, PodTemplate, ReplicaSet } from "../manifest/index.ts";
import { timestamp } from "../system/timestamp.ts";
import type { Condition, Controller, Deed, Live, Scene, Status } from "./contract.ts";
import { childName, ownerReference, sameTemplate, templateHash } from "./names.ts";
import { availableAt, conditionsIn, countsOf, earliest, isActive, numberIn, withCondition } from "./pods.ts";
import { rollingStep, roomOf } from "./rolling.ts";

export const REVISION_ANNOTATION = "deployment.kubernetes.io/revision";
export const CHANGE_CAUSE_ANNOTATION = "kubernetes.io/change-cause";
const HASH_LABEL = "pod-template-hash";

type VersionSet = Scene["replicaSets"][number];

export const reconcileDeployment: Controller<Deployment> = (me, scene) => {
  const { spec } = me.object;
  const sets = [...scene.replicaSets].sort(
    (a, b) => a.live.createdAt - b.live.createdAt || revisionOf(a) - revisionOf(b),
  );
  const fresh = sets.findLast(({ live }) => sameTemplate(plain(live.object.spec.template), spec.template));
  if (spec.paused === true) return paused(me, scene, sets, fresh);
  const newest = Math.max(0, ...sets.map(revisionOf));
  if (fresh === undefined) return begin(me, scene, sets, newest + 1);
  const old = sets.filter((set) => set !== fresh);
  const deeds: Deed[] = [];
  const revision = revisionOf(fresh) < newest ? newest + 1 : revisionOf(fresh);
  const wanted = nextReplicas(me, scene, fresh, old);
  for (const set of sets) {
    const replicas = wanted.get(keyOf(set)) ?? set.live.object.spec.replicas;
    const number = set === fresh ? revision : revisionOf(set);
    if (replicas !== set.live.object.spec.replicas || number !== revisionOf(set) || minReadyDiffers(me, set)) {
      deeds.push({ type: "put", child: changed(me, set, replicas, number), memory: set.live.memory });
      if (replicas !== set.live.object.spec.replicas) deeds.push(scaled(set, replicas));
    }
  }
  const idle = old.filter(({ live, pods }) => live.object.spec.replicas === 0 && pods.length === 0);
  const surplus = idle
    .sort((a, b) => revisionOf(a) - revisionOf(b))
    .slice(0, Math.max(0, idle.length - spec.revisionHistoryLimit));
  for (const set of surplus) deeds.push({ type: "drop", kind: "ReplicaSet", key: keyOf(set) });
  const told = report(me, scene, sets, fresh, revision);
  return { ...told, deeds: [...deeds, ...told.deeds] };
};

/** The template as it was written: without the label that tells the sets apart. */
export function plain(template: PodTemplate): PodTemplate {
  const { [HASH_LABEL]: _hash, ...labels } = template.metadata.labels ?? {};
  return { ...template, metadata: { ...template.metadata, labels } };
}

export function revisionOf({ live }: { readonly live: Live<ReplicaSet> }): number {
  return Number(live.object.metadata.annotations?.[REVISION_ANNOTATION] ?? 0);
}

function keyOf({ live }: VersionSet): string {
  return `${live.object.metadata.namespace}/${live.object.metadata.name}`;
}

/** A new version: its set is made empty, and filled by the looks that follow. */
function begin(me: Live<Deployment>, scene: Scene, sets: readonly VersionSet[], revision: number) {
  const { metadata, spec } = me.object;
  const taken = new Set(sets.map(({ live }) => live.object.metadata.name));
  let hash = templateHash(spec.template);
  // Another template with the same 32 bits: as likely as not ever.
  while (taken.has(childName(metadata.name, hash))) hash = `${hash.slice(1)}x`;
  const labels = { ...spec.template.metadata.labels, [HASH_LABEL]: hash };
  const { matchLabels, ...selector } = spec.selector;
  const cause = metadata.annotations?.[CHANGE_CAUSE_ANNOTATION];
  const child: ReplicaSet = {
    apiVersion: "apps/v1",
    kind: "ReplicaSet",
    metadata: {
      name: childName(metadata.name, hash),
      namespace: metadata.namespace,
      labels,
      annotations: {
        [REVISION_ANNOTATION]: String(revision),
        ...(cause !== undefined && { [CHANGE_CAUSE_ANNOTATION]: cause }),
      },
      ownerReferences: [ownerReference(me)],
    },
    spec: {
      minReadySeconds: spec.minReadySeconds,
      replicas: 0,
      selector: { ...selector, matchLabels: { ...matchLabels, [HASH_LABEL]: hash } },
      template: { ...spec.template, metadata: { ...spec.template.metadata, labels } },
    },
  };
  const written: unknown = me.memory["writtenTemplate"];
  const { status } = report(me, scene, sets, undefined, revision);
  const memory = { ...me.memory, progressAt: scene.now };
  return {
    deeds: [{ type: "put", child, memory: written === undefined ? {} : { writtenTemplate: written } } as const],
    status,
    memory,
    lookAt: scene.now,
  };
}

function nextReplicas(
  me: Live<Deployment>,
  { now }: Scene,
  fresh: VersionSet,
  old: readonly VersionSet[],
): ReadonlyMap<string, number> {
  const { spec } = me.object;
  switch (spec.strategy.type) {
    case "Recreate": {
      const gone = old.every(({ pods }) => pods.every(({ phase }) => phase === "Failed" || phase === "Succeeded"));
      const next = new Map(old.map((set) => [keyOf(set), 0]));
      return next.set(keyOf(fresh), gone ? spec.replicas : fresh.live.object.spec.replicas);
    }
    case "RollingUpdate": {
      const room = roomOf(spec.strategy.rollingUpdate ?? { maxSurge: "25%", maxUnavailable: "25%" }, spec.replicas);
      const numbers = (set: VersionSet) => ({
        key: keyOf(set),
        replicas: set.live.object.spec.replicas,
        available: countsOf(set.pods, spec.minReadySeconds, now).availableReplicas,
      });
      return rollingStep(spec.replicas, numbers(fresh), old.map(numbers), room);
    }
  }
}

function changed(me: Live<Deployment>, { live }: VersionSet, replicas: number, revision: number): ReplicaSet {
  const { metadata, spec } = live.object;
  const annotations = { ...metadata.annotations, [REVISION_ANNOTATION]: String(revision) };
  const { minReadySeconds } = me.object.spec;
  return { ...live.object, metadata: { ...metadata, annotations }, spec: { ...spec, replicas, minReadySeconds } };
}

function minReadyDiffers(me: Live<Deployment>, { live }: VersionSet): boolean {
  return live.object.spec.minReadySeconds !== me.object.spec.minReadySeconds;
}

function scaled({ live }: VersionSet, replicas: number): Deed {
  const before = live.object.spec.replicas;
  const way = replicas > before ? "up" : "down";
  const message = `Scaled ${way} replica set ${live.object.metadata.name} from ${before} to ${replicas}`;
  return { type: "tell", level: "Normal", reason: "ScalingReplicaSet", message };
}

/** Nothing new is begun, but the number of pods follows, as long as there is only one version of them. */
function paused(me: Live<Deployment>, scene: Scene, sets: readonly VersionSet[], fresh: VersionSet | undefined) {
  const { replicas } = me.object.spec;
  const filled = sets.filter(({ live }) => live.object.spec.replicas > 0);
  const [only] = filled;
  const deeds: Deed[] = [];
  if (only !== undefined && filled.length === 1 && only.live.object.spec.replicas !== replicas) {
    deeds.push({ type: "put", child: changed(me, only, replicas, revisionOf(only)), memory: only.live.memory });
    deeds.push(scaled(only, replicas));
  }
  const told = report(me, scene, sets, fresh, Math.max(0, ...sets.map(revisionOf)));
  // The time that it is paused does not count.
  return { deeds, status: told.status, memory: { ...me.memory, progressAt: scene.now }, lookAt: told.lookAt };
}

function report(
  me: Live<Deployment>,
  scene: Scene,
  sets: readonly VersionSet[],
  fresh: VersionSet | undefined,
  revision: number,
) {
  const { now } = scene;
  const { spec } = me.object;
  const pods = sets.flatMap((set) => set.pods);
  const counts = countsOf(pods, spec.minReadySeconds, now);
  const updated = (fresh?.pods ?? []).filter(isActive).length;
  const before = me.status;
  const old = counts.replicas - updated;
  const oldBefore = numberIn(before, "replicas") - numberIn(before, "updatedReplicas");
  const progressed =
    me.memory["progressAt"] === undefined ||
    updated > numberIn(before, "updatedReplicas") ||
    old < oldBefore ||
    counts.readyReplicas > numberIn(before, "readyReplicas") ||
    counts.availableReplicas > numberIn(before, "availableReplicas") ||
    me.generation !== numberIn(before, "observedGeneration");
  const progressAt = progressed ? now : numberIn(me.memory, "progressAt");
  const complete =
    updated === spec.replicas && counts.replicas === spec.replicas && counts.availableReplicas === spec.replicas;
  const deadline = progressAt + spec.progressDeadlineSeconds * 1000;
  // One that was once complete only heals itself: no deadline is running.
  const late = !complete && spec.paused !== true && me.memory["completed"] !== revision && now >= deadline;
  const name = fresh?.live.object.metadata.name ?? me.object.metadata.name;
  const progressing = withCondition(before, progressOf({ complete, late, paused: spec.paused === true, name }), now);
  const { maxUnavailable } = roomOf(
    spec.strategy.rollingUpdate ?? { maxSurge: "25%", maxUnavailable: "25%" },
    spec.replicas,
  );
  const least = spec.strategy.type === "Recreate" ? spec.replicas : spec.replicas - maxUnavailable;
  const available = counts.availableReplicas >= least;
  const status: Status = {
    observedGeneration: me.generation,
    ...counts,
    updatedReplicas: updated,
    unavailableReplicas: Math.max(0, spec.replicas - counts.availableReplicas),
    conditions: [
      withCondition(
        before,
        {
          type: "Available",
          status: available ? "True" : "False",
          reason: available ? "MinimumReplicasAvailable" : "MinimumReplicasUnavailable",
          message: available
            ? "Deployment has minimum availability."
            : "Deployment does not have minimum availability.",
        },
        now,
      ),
      { ...progressing, lastUpdateTime: timestamp(progressAt) },
    ],
  };
  const wasLate = conditionsIn(before).some(({ reason }) => reason === "ProgressDeadlineExceeded");
  const deeds: Deed[] =
    late && !wasLate
      ? [{ type: "tell", level: "Warning", reason: "ProgressDeadlineExceeded", message: progressing.message }]
      : [];
  const memory = { ...me.memory, progressAt, ...(complete && { completed: revision }) };
  const lookAt = earliest([complete || late ? undefined : deadline, availableAt(pods, spec.minReadySeconds, now)]);
  return { status, memory, deeds, lookAt };
}

function progressOf(at: {
  readonly complete: boolean;
  readonly late: boolean;
  readonly paused: boolean;
  readonly name: string;
}): Omit<Condition, "lastTransitionTime"> {
  const type = "Progressing";
  if (at.paused) return { type, status: "True", reason: "DeploymentPaused", message: "Deployment is paused" };
  if (at.late) {
    const message = `ReplicaSet "${at.name}" has timed out progressing.`;
    return { type, status: "False", reason: "ProgressDeadlineExceeded", message };
  }
  if (at.complete) {
    const message = `ReplicaSet "${at.name}" has successfully progressed.`;
    return { type, status: "True", reason: "NewReplicaSetAvailable", message };
  }
  return { type, status: "True", reason: "ReplicaSetUpdated", message: `ReplicaSet "${at.name}" is progressing.` };
}
