import type { ApiClient } from "../api/client.ts";
import type { PodObject } from "../api/contract.ts";
import { GantryError, isGantryError } from "../system/errors.ts";
import { nearestName } from "../system/nearest.ts";
import type { Context } from "./context.ts";
import { placeOf } from "./output/problems.ts";
import { type PodRef, parsePodRef } from "./parse/pod-name.ts";

/** "<namespace>/<name>" */
export function keyOfPod(pod: PodObject): string {
  return `${namespaceOf(pod)}/${pod.metadata.name}`;
}

export function namespaceOf(pod: PodObject): string {
  return pod.metadata.namespace ?? "default";
}

/**
 * The pod that an argument means.
 *
 * @throws GantryError `not-found` with the nearest name, or the namespace where there is one of that name
 */
export async function findPod(client: ApiClient, context: Context, text: string): Promise<PodObject> {
  const ref = parsePodRef(text, context);
  try {
    return await client.getPod(ref.namespace, ref.name);
  } catch (error) {
    if (isGantryError(error, "not-found")) throw await podNotFound(client, ref);
    throw error;
  }
}

/** The error for a pod that is not there, with what is wrong with its manifest, or what the person may have meant. */
export async function podNotFound(client: ApiClient, ref: PodRef): Promise<GantryError> {
  const [{ items }, { problems }] = await Promise.all([client.listPods(), client.problems()]);
  const key = `${ref.namespace}/${ref.name}`;
  const broken = problems.find(({ severity, object }) => severity === "error" && object === `Pod ${key}`);
  if (broken === undefined) return notFound(ref, items);
  const field = broken.field === "" ? "" : `${broken.field}: `;
  return new GantryError(
    "not-found",
    `pod '${ref.name}' in namespace '${ref.namespace}' does not run: its manifest is broken`,
    {
      hint: `Mend ${placeOf(broken)}: ${field}${broken.message}${broken.hint === undefined ? "" : ` (${broken.hint})`}`,
      details: { namespace: ref.namespace, name: ref.name },
    },
  );
}

/** The same, when the pods that are there are known already. */
export function notFound(ref: PodRef, there: readonly PodObject[]): GantryError {
  return new GantryError("not-found", `there is no pod '${ref.name}' in namespace '${ref.namespace}'`, {
    hint: meant(ref, there),
    details: { namespace: ref.namespace, name: ref.name },
  });
}

function meant(ref: PodRef, pods: readonly PodObject[]): string {
  const elsewhere = pods.filter((pod) => pod.metadata.name === ref.name).map(namespaceOf);
  if (elsewhere.length > 0) {
    return `There is one in namespace ${elsewhere.map((name) => `'${name}'`).join(" and ")}: write ${elsewhere[0]}/${ref.name}.`;
  }
  const near = nearestName(
    ref.name,
    pods.filter((pod) => namespaceOf(pod) === ref.namespace).map((pod) => pod.metadata.name),
  );
  return near === undefined
    ? "'gantry status' lists the pods, and the manifests that are broken."
    : `Did you mean '${near}'?`;
}

const DEFAULT_CONTAINER = "kubectl.kubernetes.io/default-container";

export interface ChosenContainer {
  readonly name: string;
  /** Set when nobody asked for this one: what to tell, in kubectl's words. */
  readonly note: string | undefined;
}

/**
 * Which container a command is about: the one that -c names, else the one of the annotation
 * kubectl.kubernetes.io/default-container, else the first.
 *
 * @throws GantryError `not-found`, naming the containers that there are
 */
export function chooseContainer(pod: PodObject, wanted: string | undefined): ChosenContainer {
  const main = pod.spec.containers.map((container) => container.name);
  const init = (pod.spec.initContainers ?? []).map((container) => container.name);
  const all = [...main, ...init];
  if (wanted !== undefined) {
    if (all.includes(wanted)) return { name: wanted, note: undefined };
    const near = nearestName(wanted, all);
    throw new GantryError("not-found", `pod ${keyOfPod(pod)} has no container '${wanted}'`, {
      hint: near === undefined ? `It has: ${all.join(", ")}.` : `Did you mean '${near}'? It has: ${all.join(", ")}.`,
    });
  }
  const annotated = pod.metadata.annotations?.[DEFAULT_CONTAINER];
  if (annotated !== undefined && all.includes(annotated)) return { name: annotated, note: undefined };
  const [first] = main;
  if (first === undefined) throw new GantryError("not-found", `pod ${keyOfPod(pod)} has no containers`);
  const names = [...main, ...init.map((name) => `${name} (init)`)];
  return {
    name: first,
    note: all.length > 1 ? `Defaulted container "${first}" out of: ${names.join(", ")}` : undefined,
  };
}
