/** The kept versions of a template: ControllerRevisions of a DaemonSet or StatefulSet. Pure. */
import type { DaemonSet, StatefulSet } from "../manifest/index.ts";
import type { ControllerRevision, Deed, Live, Scene } from "./contract.ts";
import { childName, ownerReference, sameTemplate, templateHash } from "./names.ts";

export const REVISION_LABEL = "controller-revision-hash";

export interface Revisions {
  /** Of the present template. */
  readonly update: ControllerRevision;
  /** By the value of the label. */
  readonly byHash: ReadonlyMap<string, ControllerRevision>;
  readonly deeds: readonly Deed[];
}

/** @param used hashes that pods still have, or are to get */
export function revisionsOf(
  me: Live<DaemonSet | StatefulSet>,
  known: Scene["revisions"],
  used: ReadonlySet<string>,
): Revisions {
  const { metadata, spec } = me.object;
  const deeds: Deed[] = [];
  const newest = Math.max(0, ...known.map(({ object }) => object.revision));
  const same = known.find(({ object }) => sameTemplate(object.data.template, spec.template));
  let update = same?.object;
  if (update === undefined) {
    const hash = templateHash(spec.template);
    update = {
      apiVersion: "apps/v1",
      kind: "ControllerRevision",
      metadata: {
        name: childName(metadata.name, hash),
        namespace: metadata.namespace,
        labels: { ...spec.template.metadata.labels, [REVISION_LABEL]: hash },
        ownerReferences: [ownerReference(me)],
      },
      revision: newest + 1,
      data: { template: spec.template },
    };
    const written: unknown = me.memory["writtenTemplate"];
    deeds.push({ type: "put", child: update, memory: written === undefined ? {} : { writtenTemplate: written } });
  } else if (update.revision < newest) {
    update = { ...update, revision: newest + 1 };
    deeds.push({ type: "put", child: update, memory: same?.memory ?? {} });
  }
  const all = [
    ...known.map(({ object }) => object).filter(({ metadata: { name } }) => name !== update.metadata.name),
    update,
  ];
  const idle = all
    .filter((one) => one !== update && !used.has(hashOfRevision(one)))
    .sort((a, b) => a.revision - b.revision);
  for (const one of idle.slice(0, Math.max(0, idle.length - spec.revisionHistoryLimit))) {
    deeds.push({ type: "drop", kind: "ControllerRevision", key: `${one.metadata.namespace}/${one.metadata.name}` });
  }
  return { update, byHash: new Map(all.map((one) => [hashOfRevision(one), one])), deeds };
}

export function hashOfRevision({ metadata }: ControllerRevision): string {
  return metadata.labels?.[REVISION_LABEL] ?? "";
}
