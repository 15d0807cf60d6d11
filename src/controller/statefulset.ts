/** StatefulSet: pods with lasting names, in order (k8s.io/kubernetes/pkg/controller/statefulset). Pure. */
import { isOwnStorageClass, RECLAIM_ANNOTATION } from "../manifest/claim.ts";
import type { PodTemplate, StatefulSet } from "../manifest/index.ts";
import type { Claim, Controller, Deed, Live, PodView } from "./contract.ts";
import { ownerReference } from "./names.ts";
import { availableAt, isActive, isAvailable, podFrom } from "./pods.ts";
import { hashOfRevision, REVISION_LABEL, revisionsOf } from "./revisions.ts";

export const reconcileStatefulSet: Controller<StatefulSet> = (me, { pods, revisions, claims, now }) => {
  const { spec } = me.object;
  const start = spec.ordinals?.start ?? 0;
  const end = start + spec.replicas;
  const byOrdinal = new Map(pods.map((pod) => [ordinalOf(pod), pod]));
  const current = String(me.status?.["currentRevision"] ?? "");
  const used = new Set([...pods.map(hashOf), hashIn(current)]);
  const { update, byHash, deeds: kept } = revisionsOf(me, revisions, used);
  const hash = hashOfRevision(update);
  const rolls = spec.updateStrategy.type === "RollingUpdate";
  const partition = rolls ? (spec.updateStrategy.rollingUpdate?.partition ?? 0) : 0;
  const before = byHash.get(hashIn(current)) ?? update;
  const deeds: Deed[] = [...kept];
  const made: number[] = [];
  const drop = ({ key }: PodView): void => void deeds.push({ type: "drop", kind: "Pod", key });
  const healthy = (pod: PodView): boolean => isActive(pod) && isAvailable(pod, spec.minReadySeconds, now);
  const inOrder = spec.podManagementPolicy === "OrderedReady";

  const fill = (): boolean => {
    let settled = true;
    for (let ordinal = start; ordinal < end; ordinal++) {
      const pod = byOrdinal.get(ordinal);
      if (pod === undefined) {
        const revision = ordinal >= partition ? update : before;
        made.push(ordinal);
        deeds.push({ type: "put", child: makePod(me, ordinal, revision.data.template, hashOfRevision(revision)) });
      } else if (!pod.deleting && !isActive(pod)) drop(pod);
      else if (!pod.deleting && !healthy(pod) && rolls && ordinal >= partition && hashOf(pod) !== hash) {
        // What is broken in the old version is mended by the new one, so it need not become ready first.
        drop(pod);
      }
      if (pod === undefined || !healthy(pod)) {
        settled = false;
        if (inOrder) return false;
      }
    }
    return settled;
  };
  const shrink = (): boolean => {
    const condemned = [...byOrdinal].filter(([ordinal]) => ordinal >= end || ordinal < start).sort(([a], [b]) => b - a);
    for (const [, pod] of condemned) {
      if (!pod.deleting) drop(pod);
      if (inOrder) return false;
    }
    return condemned.length === 0;
  };
  const roll = (): void => {
    for (let ordinal = end - 1; ordinal >= Math.max(start, partition); ordinal--) {
      const pod = byOrdinal.get(ordinal);
      if (pod === undefined || pod.deleting) return;
      if (hashOf(pod) !== hash) drop(pod);
      if (hashOf(pod) !== hash || !healthy(pod)) return;
    }
  };
  const settled = fill();
  deeds.push(...claimsOf(me, end, claims, new Set([...byOrdinal.keys(), ...made])));
  if ((settled || !inOrder) && shrink() && settled && rolls) roll();

  const active = pods.filter(isActive);
  const updated = active.filter((pod) => hashOf(pod) === hash).length;
  const name = update.metadata.name;
  const whole = updated === spec.replicas && active.length === spec.replicas && active.every(healthy);
  const currentRevision = current === "" || whole ? name : current;
  return {
    deeds,
    status: {
      observedGeneration: me.generation,
      replicas: active.length,
      readyReplicas: active.filter(({ ready }) => ready).length,
      availableReplicas: active.filter(healthy).length,
      currentReplicas: active.filter((pod) => hashOf(pod) === hashIn(currentRevision)).length,
      updatedReplicas: updated,
      currentRevision,
      updateRevision: name,
      collisionCount: 0,
    },
    lookAt: availableAt(active, spec.minReadySeconds, now),
  };
};

function ordinalOf({ pod }: PodView): number {
  return Number(/-(\d+)$/.exec(pod.metadata.name)?.[1] ?? -1);
}

function hashOf({ pod }: PodView): string {
  return pod.metadata.labels?.[REVISION_LABEL] ?? "";
}

/** "web-abc" of "web" has the hash "abc"; the name may have been cut. */
function hashIn(revision: string): string {
  return revision.slice(revision.lastIndexOf("-") + 1);
}

function makePod(me: Live<StatefulSet>, ordinal: number, template: PodTemplate, hash: string) {
  const { metadata, spec } = me.object;
  const name = `${metadata.name}-${ordinal}`;
  const labels = {
    [REVISION_LABEL]: hash,
    "statefulset.kubernetes.io/pod-name": name,
    "apps.kubernetes.io/pod-index": String(ordinal),
  };
  const pod = podFrom(me, template, name, { labels });
  const templates = (spec.volumeClaimTemplates ?? []).flatMap((claim) => claim.metadata.name ?? []);
  const own = (pod.spec.volumes ?? []).filter((volume) => !templates.includes(volume.name));
  const claimed = templates.map((volume) => ({
    name: volume,
    persistentVolumeClaim: { claimName: claimName(volume, name) },
  }));
  const volumes = templates.length === 0 ? {} : { volumes: [...own, ...claimed] };
  // The name is the identity: apps find each other by it, as <pod>.<service>.
  const subdomain = spec.serviceName ? { subdomain: spec.serviceName } : {};
  return { ...pod, spec: { ...pod.spec, hostname: name, ...subdomain, ...volumes } };
}

function claimName(template: string, pod: string): string {
  return `${template}-${pod}`;
}

/**
 * The claims of the set: one of each template for each of its pods. They outlive their pods, and the set unless its
 * persistentVolumeClaimRetentionPolicy says otherwise; as long as they are there they follow their templates, so that a
 * larger one makes volumes grow.
 */
function claimsOf(
  me: Live<StatefulSet>,
  end: number,
  there: ReadonlySet<string>,
  withPod: ReadonlySet<number>,
): Deed[] {
  const { metadata, spec } = me.object;
  const start = spec.ordinals?.start ?? 0;
  const { whenScaled = "Retain" } = spec.persistentVolumeClaimRetentionPolicy ?? {};
  return (spec.volumeClaimTemplates ?? []).flatMap((template): Deed[] => {
    const prefix = `${metadata.namespace}/${claimName(template.metadata.name ?? "", metadata.name)}-`;
    const kept = [...there].flatMap((key) =>
      key.startsWith(prefix) && /^(0|[1-9]\d*)$/.test(key.slice(prefix.length))
        ? [Number(key.slice(prefix.length))]
        : [],
    );
    const ordinals = [...new Set([...withPod, ...kept])].sort((a, b) => a - b);
    return ordinals.map((ordinal): Deed => {
      const beyond = ordinal < start || ordinal >= end;
      if (beyond && whenScaled === "Delete" && !withPod.has(ordinal))
        return { type: "drop", kind: "PersistentVolumeClaim", key: `${prefix}${ordinal}` };
      return { type: "put", child: claimOf(me, template, ordinal) };
    });
  });
}

type ClaimTemplate = NonNullable<StatefulSet["spec"]["volumeClaimTemplates"]>[number];

function claimOf(me: Live<StatefulSet>, template: ClaimTemplate, ordinal: number): Claim {
  const { metadata, spec } = me.object;
  const { labels, annotations } = template.metadata;
  const retention = spec.persistentVolumeClaimRetentionPolicy;
  const owned = retention?.whenDeleted === "Delete";
  // Who asks for an end of claims means their data, as with the default storage classes of clusters.
  const says =
    annotations?.[RECLAIM_ANNOTATION] !== undefined || isOwnStorageClass(template.spec.storageClassName ?? "");
  const passes = !says && (owned || retention?.whenScaled === "Delete");
  const all = passes ? { ...annotations, [RECLAIM_ANNOTATION]: "Delete" } : annotations;
  return {
    apiVersion: "v1",
    kind: "PersistentVolumeClaim",
    metadata: {
      name: claimName(template.metadata.name ?? "", `${metadata.name}-${ordinal}`),
      namespace: metadata.namespace,
      labels: { ...spec.selector.matchLabels, ...labels },
      ...(all !== undefined && { annotations: all }),
      ...(owned && { ownerReferences: [ownerReference(me)] }),
    },
    spec: template.spec,
  };
}
