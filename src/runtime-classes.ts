/** What the runtime class that a pod names means on this node. Pure. */
import type { Pod, RuntimeClass } from "./manifest/index.ts";
import { parseQuantity } from "./manifest/quantity.ts";

export interface NodeRuntimes {
  /** Runtime classes that have a driver on this node, e.g. ["namespace"]. */
  readonly drivers: readonly string[];
  /** OCI runtimes (a name or a path) by the handler that a RuntimeClass may name; crun and runc are always known. */
  readonly handlers: Readonly<Record<string, string>>;
  /** The runtime class of pods that name none. */
  readonly defaultRuntimeClass: string;
}

/** What a pod's runtime class comes to here. */
export interface Runtime {
  readonly runtimeClass: string;
  readonly handler: string | undefined;
  /** What each of its pods takes beyond what its containers ask for. */
  readonly overhead: Pod["spec"]["overhead"];
}

/** @returns the driver's runtime class and OCI handler, or a sentence about why there is none */
export function resolveRuntime(
  pod: Pod,
  classes: ReadonlyMap<string, RuntimeClass>,
  context: NodeRuntimes,
): Runtime | string {
  const name = pod.spec.runtimeClassName ?? context.defaultRuntimeClass;
  const found = classes.get(name);
  if (found !== undefined) {
    const { handler } = found;
    const overhead = found.overhead?.podFixed;
    if (context.drivers.includes(handler)) return { runtimeClass: handler, handler: undefined, overhead };
    const handlers: NodeRuntimes["handlers"] = { crun: "crun", runc: "runc", ...context.handlers };
    const runtime = handlers[handler];
    if (runtime !== undefined) return { runtimeClass: "namespace", handler: runtime, overhead };
    const known = [...context.drivers, ...Object.keys(handlers)].join(", ");
    return `runtime class ${JSON.stringify(name)} has the handler ${JSON.stringify(handler)}, which is not known here (known: ${known})`;
  }
  if (context.drivers.includes(name)) return { runtimeClass: name, handler: undefined, overhead: undefined };
  return `runtime class ${JSON.stringify(name)} does not exist`;
}

/** A pod's own overhead can only repeat that of its class (k8s.io/kubernetes/plugin/pkg/admission/runtimeclass). */
export function overheadProblem({ spec }: Pod, overhead: Runtime["overhead"]): string | undefined {
  if (spec.overhead === undefined || sameAmounts(spec.overhead, overhead ?? {})) return undefined;
  const name = JSON.stringify(spec.runtimeClassName ?? "");
  if (overhead === undefined) return `is set, but the pod's runtime class ${name} defines no overhead`;
  return `is not the overhead that runtime class ${name} defines, ${JSON.stringify(overhead)}`;
}

/** Whether both come to the same amounts of everything; what is left out is nothing. */
export function sameAmounts(a: NonNullable<Runtime["overhead"]>, b: NonNullable<Runtime["overhead"]>): boolean {
  const names = new Set([...Object.keys(a), ...Object.keys(b)]);
  return [...names].every((name) => parseQuantity(a[name] ?? "0") === parseQuantity(b[name] ?? "0"));
}
