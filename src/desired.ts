/**
 * Desired state: what all sources together ask for, checked against each other and hashed. Pure.
 *
 * A pod that collides with another (host port, unknown runtime class, same name) is *withheld*: it is not started,
 * and if it runs already it is left as it is, so that one bad manifest never disturbs a pod that runs.
 */
import { cycleFrom } from "./dependencies.ts";
import { hashOf } from "./hash.ts";
import { PortLedger, portsOf } from "./host-ports.ts";
import { APP_ARMOR_ANNOTATION } from "./manifest/app-armor.ts";
import {
  type ConfigMap,
  type Container,
  type InertObject,
  identityOf,
  isInertObject,
  type LoadedObject,
  type PersistentVolumeClaim,
  type Pod,
  type Problem,
  placeOfField,
  type RuntimeClass,
  type Secret,
} from "./manifest/index.ts";
import { fieldName } from "./manifest/issue.ts";
import { DEPENDS_ON_ANNOTATION, dependenciesOf } from "./manifest/pod-annotations.ts";
import { vmOptions } from "./manifest/vm.ts";
import { vmRefusals } from "./manifest/vm-refusals.ts";
import type { DesiredPod } from "./pod/contract.ts";
import { type NodeRuntimes, overheadProblem, type Runtime, resolveRuntime, sameAmounts } from "./runtime-classes.ts";

export interface Desired {
  /** By key "<namespace>/<name>". */
  readonly pods: ReadonlyMap<string, DesiredPod>;
  /** Keys of pods that are written but can't be accepted as written; whatever runs of them stays as it is. */
  readonly withheld: ReadonlySet<string>;
  readonly configMaps: ReadonlyMap<string, ConfigMap>;
  readonly secrets: ReadonlyMap<string, Secret>;
  readonly claims: ReadonlyMap<string, PersistentVolumeClaim>;
  /** By name. */
  readonly runtimeClasses: ReadonlyMap<string, RuntimeClass>;
  /** What nothing acts on; by identity ("Role default/reader"). */
  readonly inert: ReadonlyMap<string, InertObject>;
  readonly problems: readonly Problem[];
}

/** Before anything was read. */
export const NOTHING_DESIRED: Desired = {
  pods: new Map(),
  withheld: new Set(),
  configMaps: new Map(),
  secrets: new Map(),
  claims: new Map(),
  runtimeClasses: new Map(),
  inert: new Map(),
  problems: [],
};

export interface DesiredContext extends NodeRuntimes {
  /** Pods that were accepted before, in force now: they win a collision against newcomers. */
  readonly accepted: ReadonlyMap<string, DesiredPod>;
}

type Loaded<T> = { readonly object: T; readonly loaded: LoadedObject };

/** "<namespace>/<name>" */
export function keyOf(object: {
  readonly metadata: { readonly namespace?: string | undefined; readonly name: string };
}): string {
  return `${object.metadata.namespace ?? "default"}/${object.metadata.name}`;
}

export function buildDesired(objects: readonly LoadedObject[], context: DesiredContext): Desired {
  const problems: Problem[] = [];
  const runtimeClasses = new Map<string, RuntimeClass>();
  const configMaps = new Map<string, ConfigMap>();
  const secrets = new Map<string, Secret>();
  const claims = new Map<string, PersistentVolumeClaim>();
  const inert = new Map<string, InertObject>();
  const candidates: Loaded<Pod>[] = [];
  for (const loaded of objects) {
    const { object } = loaded;
    if (isInertObject(object)) {
      inert.set(identityOf(object), object);
      continue;
    }
    switch (object.kind) {
      case "Pod":
        candidates.push({ object, loaded });
        break;
      case "ConfigMap":
        configMaps.set(keyOf(object), object);
        break;
      case "Secret":
        secrets.set(keyOf(object), object);
        break;
      case "PersistentVolumeClaim":
        claims.set(keyOf(object), object);
        break;
      case "RuntimeClass":
        runtimeClasses.set(object.metadata.name, object);
        break;
    }
  }
  const pods = new Map<string, DesiredPod>();
  const withheld = new Set<string>();
  const withhold = ({ object, loaded }: Loaded<Pod>, field: string, message: string, hint: string): void => {
    const key = keyOf(object);
    withheld.add(key);
    problems.push({
      severity: "error",
      place: placeOfField(loaded, field),
      field,
      message,
      hint,
      object: `Pod ${key}`,
    });
    // The version that was accepted before stays in force.
    const before = context.accepted.get(key);
    if (before !== undefined) pods.set(key, before);
  };
  const circles: [Loaded<Pod>, string, string][] = [];
  const ports = new PortLedger();
  for (const candidate of inOrderOfPrecedence(candidates, context.accepted)) {
    const { object: pod, loaded } = candidate;
    const runtime = resolveRuntime(pod, runtimeClasses, context);
    if (typeof runtime === "string") {
      const known = [...context.drivers, ...runtimeClasses.keys()]
        .filter((name) => name !== pod.spec.runtimeClassName)
        .join(", ");
      const hint = `Use one of: ${known}; or add a RuntimeClass manifest, and its handler to runtime.handlers in the config.`;
      withhold(candidate, "spec.runtimeClassName", runtime, hint);
      continue;
    }
    const contradiction = overheadProblem(pod, runtime.overhead);
    if (contradiction !== undefined) {
      withhold(candidate, "spec.overhead", contradiction, "Leave it out: it is taken from the RuntimeClass.");
      continue;
    }
    const refused = runtime.runtimeClass === MICROVM ? vmRefusals(pod) : [];
    for (const { path, message } of refused) withhold(candidate, fieldName(path), message, WITHOUT_VM);
    if (refused.length > 0) continue;
    const clash = ports.claim(pod);
    if (clash !== undefined) {
      withhold(
        candidate,
        clash.field,
        `host port ${clash.port} is already used by pod ${clash.owner}`,
        "Choose another hostPort, or remove the other pod.",
      );
      continue;
    }
    const desired = desiredPod(pod, loaded, runtime);
    pods.set(desired.key, desired);
  }
  for (const candidate of candidates) {
    const key = keyOf(candidate.object);
    const cycle = pods.has(key) ? cycleFrom(key, (one) => dependenciesIn(pods.get(one))) : undefined;
    if (cycle === undefined) continue;
    const field = `metadata.annotations["${DEPENDS_ON_ANNOTATION}"]`;
    circles.push([candidate, field, `pods wait for each other in a circle: ${cycle.join(" → ")}`]);
  }
  for (const [candidate, field, message] of circles) {
    pods.delete(keyOf(candidate.object));
    withhold(candidate, field, message, "take one of them out of the circle");
  }
  return { pods, withheld, configMaps, secrets, claims, runtimeClasses, inert, problems };
}

function dependenciesIn(desired: DesiredPod | undefined): string[] {
  return desired === undefined ? [] : dependenciesOf(desired.pod.metadata);
}

/**
 * A pod whose manifest is broken is withheld, too. Mostly its last good version is among the desired pods; this is for
 * when there is none: it was lost, or is itself refused by the rules of a newer version.
 */
export function withholdBroken(desired: Desired, problems: readonly Problem[]): Desired {
  const broken = problems.flatMap(({ severity, object }) =>
    severity === "error" && object?.startsWith("Pod ") ? [object.slice("Pod ".length)] : [],
  );
  return broken.length === 0 ? desired : { ...desired, withheld: new Set([...desired.withheld, ...broken]) };
}

/** Accepted pods whose ports are as before come first, so that a newcomer can't push out what runs. */
function inOrderOfPrecedence(
  candidates: readonly Loaded<Pod>[],
  accepted: ReadonlyMap<string, DesiredPod>,
): Loaded<Pod>[] {
  const rank = ({ object }: Loaded<Pod>): number => {
    const before = accepted.get(keyOf(object));
    if (before === undefined) return 2;
    if (before.pod === object) return 0;
    return JSON.stringify(portsOf(before.pod)) === JSON.stringify(portsOf(object)) ? 0 : 1;
  };
  return [...candidates]
    .map((candidate) => ({ candidate, rank: rank(candidate), key: keyOf(candidate.object) }))
    .sort((a, b) => a.rank - b.rank || (a.key < b.key ? -1 : a.key > b.key ? 1 : 0))
    .map(({ candidate }) => candidate);
}

/** Unchanged manifests keep their object identity, so their hashes are computed once. */
const memo = new WeakMap<Pod, DesiredPod>();

function desiredPod(pod: Pod, loaded: LoadedObject, runtime: Runtime): DesiredPod {
  const known = memo.get(pod);
  const origin = `${loaded.place.file}:${loaded.place.line}`;
  if (
    known?.runtimeClass === runtime.runtimeClass &&
    known.runtimeHandler === runtime.handler &&
    known.origin === origin &&
    sameAmounts(known.pod.spec.overhead ?? {}, runtime.overhead ?? {})
  )
    return known;
  const warnings = loaded.warnings.map(({ field, message }) => (field === "" ? message : `${field}: ${message}`));
  if (runtime.runtimeClass !== MICROVM && vmOptions(pod.metadata.annotations) !== undefined) {
    warnings.push("metadata.annotations: gantry.dev/vm-… has no effect: the pod does not run in a micro-VM");
  }
  const { overhead } = runtime;
  const whole = overhead === undefined ? pod : { ...pod, spec: { ...pod.spec, overhead } };
  const desired = hashedPod(whole, {
    origin,
    runtimeClass: runtime.runtimeClass,
    runtimeHandler: runtime.handler,
    warnings,
  });
  memo.set(pod, desired);
  return desired;
}

const WITHOUT_VM = "Leave it out, or use runtimeClassName: namespace for this pod.";

/** The runtime class whose pods have a virtual machine of their own. */
const MICROVM = "microvm";

/** A pod with the hashes that tell what a change of it asks for. */
export function hashedPod(
  pod: Pod,
  facts: Pick<DesiredPod, "origin" | "runtimeClass" | "warnings"> & { readonly runtimeHandler: string | undefined },
): DesiredPod {
  const { containers, initContainers = [], ...podSpec } = pod.spec;
  const all = [...initContainers, ...containers];
  return {
    ...facts,
    key: keyOf(pod),
    pod,
    sandboxHash: hashOf({
      runtime: [facts.runtimeClass, facts.runtimeHandler],
      spec: withoutInPlace(podSpec),
      // What an init container did to the volumes can't be undone in place, so a changed one asks for a new pod.
      init: initContainers.filter((container) => !isSidecar(container)).map(containerIdentity),
      order: initContainers.map((container) => container.name),
      hostPorts: portsOf(pod),
      vm: facts.runtimeClass === MICROVM ? vmOptions(pod.metadata.annotations) : undefined,
    }),
    containerHashes: Object.fromEntries(
      all.map((container) => [
        container.name,
        hashOf({ ...containerIdentity(container), ...annotated(pod, container) }),
      ]),
    ),
    metadataHash: hashOf({ metadata: pod.metadata, spec: podSpec, ports: all.map((container) => container.ports) }),
  };
}

function isSidecar(container: Container): boolean {
  return container.restartPolicy === "Always";
}

/** What a running container was made from. Ports only inform, and the pull policy matters only before the start. */
function containerIdentity(container: Container): object {
  const { ports: _ports, imagePullPolicy: _policy, ...identity } = container;
  return identity;
}

/** What an annotation says of a container as a field would; nothing where there is none, so that hashes stay as they were. */
function annotated({ metadata }: Pod, { name }: Container): object {
  const appArmor = metadata.annotations?.[`${APP_ARMOR_ANNOTATION}${name}`];
  return appArmor === undefined ? {} : { appArmor };
}

/** Pod fields that a running pod takes over without being touched: policy, and what speaks of other nodes. */
const IN_PLACE: ReadonlySet<string> = new Set([
  "restartPolicy",
  "terminationGracePeriodSeconds",
  "activeDeadlineSeconds",
  "nodeName",
  "nodeSelector",
  "tolerations",
  "affinity",
  "topologySpreadConstraints",
  "schedulerName",
  "schedulingGates",
  "priorityClassName",
  "priority",
  "preemptionPolicy",
  "readinessGates",
  "serviceAccountName",
  "serviceAccount",
  "automountServiceAccountToken",
  "imagePullSecrets",
  "enableServiceLinks",
  "runtimeClassName", // the class it resolves to is hashed instead
]);

function withoutInPlace(spec: object): Record<string, unknown> {
  return Object.fromEntries(Object.entries(spec).filter(([field]) => !IN_PLACE.has(field)));
}
