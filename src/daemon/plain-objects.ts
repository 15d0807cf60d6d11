import type { NodeObject, PodObject } from "../api/contract.ts";
import { groupVersion } from "../api/server/resources.ts";
import { inVersion } from "../api/versions.ts";
import type { Desired } from "../desired.ts";
import { foreignKind, isInert, isOfCluster } from "../manifest/foreign-kinds.ts";
import type { PersistentVolumeClaim } from "../manifest/index.ts";
import { quantityText } from "../manifest/quantity.ts";
import { timestamp } from "../system/timestamp.ts";
import type { ClaimVolume } from "../volume/index.ts";
import { NAMESPACE_SPEC, namespaceLabel } from "./namespaces.ts";
import { leaseOfNode } from "./node.ts";
import type { FactsOfObjects } from "./object-facts.ts";
import type { Derived } from "./workload-objects.ts";

export interface PlainParts {
  readonly desired: () => Desired;
  /** Keys of claims that controllers made: they are served as those keep them. */
  readonly madeClaims: () => ReadonlySet<string>;
  /** Where an object is written: "web.yaml:1". */
  readonly originOf: (identity: string) => string | undefined;
  readonly volumes: () => readonly ClaimVolume[];
  readonly facts: FactsOfObjects;
  readonly pods: () => readonly PodObject[];
  readonly node: () => NodeObject;
  /** Of objects that controllers act on. */
  readonly namespacesOfOthers: () => readonly string[];
}

/** The kinds that no controller acts on, as the API serves them: ConfigMaps, Secrets, claims, RuntimeClasses, the Node. */
export function plainObjects(parts: PlainParts): Derived[] {
  const { desired } = parts;
  const { configMaps, secrets, claims, runtimeClasses, inert } = desired();
  const made = parts.madeClaims();
  const volumes = new Map(parts.volumes().map((volume) => [`${volume.namespace}/${volume.name}`, volume]));
  const own = [...claims].filter(([key]) => !made.has(key));
  const { metadata, ...node } = parts.node();
  return [
    ...[...configMaps.values(), ...secrets.values(), ...runtimeClasses.values()].map((object) => render(object, parts)),
    ...[...inert.values()].filter(({ kind }) => kind !== "Namespace").map((object) => render(object, parts)),
    ...own.map(([key, claim]) => withVolume(render(claim, parts), claim, volumes.get(key))),
    ...[...volumes.values()].map((volume) => volumeObject(volume, parts)),
    ...namespaces(parts),
    { ...node, metadata: { ...metadata, generation: 1 } },
    leaseOfNode({ ...node, metadata }),
  ];
}

interface Written {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly labels?: Readonly<Record<string, string>> | undefined;
    readonly namespace?: string | undefined;
    readonly annotations?: Readonly<Record<string, string>> | undefined;
  };
}

/** A ConfigMap may be large: while nothing about it changes, it is one and the same object. */
const rendered = new WeakMap<Written, { readonly origin: string | undefined; readonly derived: Derived }>();

function render(object: Written, { facts, originOf }: PlainParts): Derived {
  const { apiVersion, kind, metadata, ...rest } = object;
  const ofCluster = isOfCluster(kind);
  const namespace = metadata.namespace ?? "default";
  const key = ofCluster ? `${kind} ${metadata.name}` : `${kind} ${namespace}/${metadata.name}`;
  const { uid, createdAt } = facts.identify(key);
  const origin = originOf(key);
  const before = rendered.get(object);
  if (before?.origin === origin && before?.derived.metadata.uid === uid) return before.derived;
  const annotations = { ...metadata.annotations, ...(origin !== undefined && { "gantry.dev/manifest": origin }) };
  const derived: Derived = {
    apiVersion: servedVersionOf(kind) ?? apiVersion,
    kind,
    metadata: {
      name: metadata.name,
      ...(metadata.labels !== undefined && { labels: metadata.labels }),
      ...(ofCluster ? {} : { namespace }),
      uid,
      creationTimestamp: timestamp(createdAt),
      ...(Object.keys(annotations).length > 0 && { annotations }),
    },
    ...contentOf(rest, object),
  };
  rendered.set(object, { origin, derived });
  return derived;
}

/** What is written in an older version is served in that which clients ask for first. */
function servedVersionOf(kind: string): string | undefined {
  const names = isInert(kind) ? foreignKind(kind)?.api : undefined;
  return names === undefined ? undefined : groupVersion(names);
}

function contentOf(rest: object, { kind, apiVersion }: Written): object {
  const served = servedVersionOf(kind);
  if (served === undefined || served === apiVersion) return rest;
  const { apiVersion: _version, kind: _kind, ...content } = inVersion({ ...rest, apiVersion, kind }, served);
  return content;
}

/** A namespace is there when it is written, or something is in it; "default" always is. */
function namespaces(parts: PlainParts): Derived[] {
  const { desired, pods, facts, namespacesOfOthers } = parts;
  const { configMaps, secrets, claims, inert } = desired();
  const keys = [...configMaps.keys(), ...secrets.keys(), ...claims.keys(), ...desired().pods.keys()];
  const names = new Set(["default", ...keys.map((key) => key.slice(0, key.indexOf("/"))), ...namespacesOfOthers()]);
  for (const { metadata } of pods()) names.add(metadata.namespace);
  for (const { kind, metadata } of inert.values()) {
    if (kind === "Namespace") names.add(metadata.name);
    else if (!isOfCluster(kind)) names.add(metadata.namespace ?? "default");
  }
  return [...names].sort().map((name) => {
    const written = inert.get(`Namespace ${name}`);
    const { uid, createdAt } = facts.identify(`Namespace ${name}`);
    const { metadata, ...rest } = written === undefined ? { metadata: {} } : render(written, parts);
    const labels = { ...("labels" in metadata && metadata.labels), ...namespaceLabel(name) };
    return {
      apiVersion: "v1",
      kind: "Namespace",
      ...rest,
      metadata: { ...metadata, name, uid, creationTimestamp: timestamp(createdAt), labels },
      spec: { ...NAMESPACE_SPEC },
      status: { phase: "Active" },
    };
  });
}

/** A claim names its volume once it has one. */
export function withVolume(derived: Derived, claim: PersistentVolumeClaim, volume: ClaimVolume | undefined): Derived {
  const status = claimStatus(claim, volume);
  if (volume === undefined) return { ...derived, status };
  return { ...derived, spec: { ...derived.spec, volumeName: volumeName(volume) }, status };
}

/** A namespace has no dots in it, so no two volumes have the same name. */
export function volumeName({ namespace, name }: Pick<ClaimVolume, "namespace" | "name">): string {
  return `${namespace}.${name}`;
}

/** The volume of a claim as a v1 PersistentVolume. */
function volumeObject(volume: ClaimVolume, { desired, facts }: PlainParts): Derived {
  const { namespace, name, capacityBytes, accessModes, reclaimPolicy, storageClassName, createdAt } = volume;
  const claimed = desired().claims.has(`${namespace}/${name}`);
  const phase = claimed ? "Bound" : "Released";
  const claim = claimed ? { uid: facts.identify(`PersistentVolumeClaim ${namespace}/${name}`).uid } : {};
  return {
    apiVersion: "v1",
    kind: "PersistentVolume",
    metadata: {
      name: volumeName(volume),
      uid: `volume-${volumeName(volume)}`,
      creationTimestamp: timestamp(createdAt),
    },
    spec: {
      capacity: { storage: quantityText(capacityBytes) },
      accessModes,
      persistentVolumeReclaimPolicy: reclaimPolicy,
      ...(storageClassName !== undefined && { storageClassName }),
      volumeMode: "Filesystem",
      claimRef: { apiVersion: "v1", kind: "PersistentVolumeClaim", namespace, name, ...claim },
      local: { path: volume.file },
    },
    status: volume.lost === undefined ? { phase } : { phase: "Failed", reason: "Lost", message: volume.lost },
  };
}

/** The status of a claim: Bound once it has a volume, which is made when the first pod needs it. */
export function claimStatus({ spec }: Pick<PersistentVolumeClaim, "spec">, volume: ClaimVolume | undefined) {
  if (volume === undefined) return { phase: "Pending" };
  if (volume.lost !== undefined) return { phase: "Lost" };
  return {
    phase: "Bound",
    accessModes: spec.accessModes ?? volume.accessModes,
    capacity: { storage: quantityText(volume.capacityBytes) },
  };
}
