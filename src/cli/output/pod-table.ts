import type { PodObject } from "../../api/contract.ts";
// Not through status.ts: that would load the schema of manifests, and `status` is to be quick.
import { podSummary } from "../../pod/rules/summary.ts";
import { namespaceOf } from "../pods.ts";
import { sandboxDetail, vmOf } from "../sandbox-detail.ts";
import { type Colors, paintStatus } from "./color.ts";
import type { Out } from "./out.ts";
import { signersOf } from "./signers.ts";
import { type Row, renderTable } from "./table.ts";

export interface PodTableOptions {
  readonly namespaces: boolean;
  readonly wide: boolean;
  readonly colors: Colors;
  /** ms since the epoch. */
  readonly now: number;
}

const NONE = "<none>";

export function podHeader({ namespaces, wide }: Pick<PodTableOptions, "namespaces" | "wide">): string[] {
  return [
    ...(namespaces ? ["NAMESPACE"] : []),
    "NAME",
    "READY",
    "STATUS",
    "RESTARTS",
    "AGE",
    "IP",
    "RUNTIME",
    ...(wide ? ["VM", "KERNEL", "IMAGES", "SIGNED BY", "MANIFEST"] : []),
  ];
}

/** The table of `gantry status`. @param now ms since the epoch */
export function podTable(pods: readonly PodObject[], out: Pick<Out, "format" | "colors">, now: number): string {
  const namespaces = new Set(pods.map(namespaceOf)).size > 1;
  const options = { namespaces, wide: out.format === "wide", colors: out.colors, now };
  return renderTable(
    podHeader(options),
    pods.map((pod) => podRow(pod, options)),
  );
}

/** @param status what to print instead of the pod's own status */
export function podRow(pod: PodObject, options: PodTableOptions, status?: string): Row {
  const summary = podSummary(pod, options.now);
  const text = status ?? summary.status;
  return [
    ...(options.namespaces ? [namespaceOf(pod)] : []),
    pod.metadata.name,
    summary.ready,
    { text, paint: paintStatus(options.colors, text, isAllReady(summary.ready)) },
    summary.restarts,
    summary.age,
    pod.status.podIP ?? NONE,
    runtimeOf(pod),
    ...(options.wide ? [vmOf(pod) ?? NONE, sandboxDetail(pod)["kernel"] ?? NONE] : []),
    ...(options.wide ? [imagesOf(pod), signedBy(pod), manifestOf(pod) ?? NONE] : []),
  ];
}

/** By namespace, then name. */
export function sortPods(pods: readonly PodObject[]): PodObject[] {
  const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);
  return [...pods].sort((a, b) => compare(namespaceOf(a), namespaceOf(b)) || compare(a.metadata.name, b.metadata.name));
}

/** The runtime class that the pod runs in. */
export function runtimeOf(pod: PodObject): string {
  return pod.metadata.annotations?.["gantry.dev/runtime-class"] ?? pod.spec.runtimeClassName ?? "namespace";
}

/** Where the pod is written, "web.yaml:1": the daemon's annotation. */
export function manifestOf(pod: PodObject): string | undefined {
  return pod.metadata.annotations?.["gantry.dev/manifest"];
}

function imagesOf(pod: PodObject): string {
  return [...new Set(pod.spec.containers.map((container) => container.image))].join(",");
}

function signedBy(pod: PodObject): string {
  return [...new Set(Object.values(signersOf(pod)).flat())].join(", ") || NONE;
}

/** "2/2" is, "1/2" is not. */
function isAllReady(ready: string): boolean {
  const [have, all] = ready.split("/");
  return have === all;
}
