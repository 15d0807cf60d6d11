/** What one set of manifests changes in another, without anything that runs. Pure. */
import { isDeepStrictEqual } from "node:util";
import { keyOf, withholdBroken } from "../desired.ts";
import { diff, type KnownPod } from "../diff.ts";
import { identityOf, type LoadedObject, type ManifestObject } from "../manifest/index.ts";
import { type PlanStep, plan } from "../plan.ts";
import { desiredOf, type Handlers, type Manifests } from "./manifests.ts";

/** A change of an object that is no pod: what it does to pods is for its controller to decide. */
export interface ObjectChange {
  readonly type: "create" | "change" | "remove";
  /** "Deployment default/web" */
  readonly object: string;
  /** Paths of the fields that differ; never their values. */
  readonly fields: readonly string[];
}

export interface Comparison {
  readonly steps: readonly PlanStep[];
  readonly changes: readonly ObjectChange[];
}

/** As if all that `before` asks for were running. */
export function compare(before: Manifests, after: Manifests, handlers: Handlers): Comparison {
  const nowhere = (objects: readonly LoadedObject[]): LoadedObject[] => objects.map(withoutPlace);
  const was = desiredOf(nowhere(before.objects), handlers);
  const will = withholdBroken(desiredOf(nowhere(after.objects), handlers), after.problems);
  const known = [...was.pods.values()].map((pod): KnownPod => {
    return { uid: "", key: pod.key, managed: pod, deleting: false, sandboxHash: pod.sandboxHash };
  });
  const steps = plan(diff(will, known, { keepUnwanted: false }));
  const places = new Map(after.objects.map(({ object, place }) => [`${object.kind} ${keyOf(object)}`, place]));
  return { steps: steps.map((step) => placed(step, places)), changes: objectChanges(before.objects, after.objects) };
}

/** A pod that only moved to another line or file is the same. */
function withoutPlace(loaded: LoadedObject): LoadedObject {
  return { ...loaded, place: { file: "", line: 1, column: 1 } };
}

function placed(step: PlanStep, places: ReadonlyMap<string, LoadedObject["place"]>): PlanStep {
  if (!("desired" in step)) return step;
  const file = places.get(`Pod ${step.key}`)?.file;
  return file === undefined ? step : { ...step, desired: { ...step.desired, origin: file } };
}

function objectChanges(before: readonly LoadedObject[], after: readonly LoadedObject[]): ObjectChange[] {
  const was = byIdentity(before);
  const will = byIdentity(after);
  const all = [...new Set([...was.keys(), ...will.keys()])].sort();
  return all.flatMap((object): ObjectChange[] => {
    const [from, to] = [was.get(object), will.get(object)];
    if (from === undefined) return [{ type: "create", object, fields: [] }];
    if (to === undefined) return [{ type: "remove", object, fields: [] }];
    const fields = differences(from, to, "");
    return fields.length === 0 ? [] : [{ type: "change", object, fields }];
  });
}

function byIdentity(objects: readonly LoadedObject[]): Map<string, ManifestObject> {
  const others = objects.filter(({ object }) => object.kind !== "Pod");
  return new Map(others.map(({ object }) => [identityOf(object), object]));
}

/** The innermost fields that differ. */
function differences(a: unknown, b: unknown, path: string): string[] {
  if (isDeepStrictEqual(a, b)) return [];
  if (!isRecord(a) || !isRecord(b)) return [path];
  const names = [...new Set([...Object.keys(a), ...Object.keys(b)])];
  return names.flatMap((name) => {
    const inner = /^[\w-]+$/.test(name) ? `${path === "" ? "" : `${path}.`}${name}` : `${path}["${name}"]`;
    return differences(a[name], b[name], Array.isArray(a) ? `${path}[${name}]` : inner);
  });
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null;
}

/** One line for people. */
export function describeChange({ type, object, fields }: ObjectChange): string {
  switch (type) {
    case "create":
      return `${object}: create`;
    case "remove":
      return `${object}: remove`;
    case "change": {
      const shown = fields.slice(0, 5).join(", ");
      return `${object}: change ${shown}${fields.length > 5 ? ` and ${fields.length - 5} more` : ""}`;
    }
  }
}
