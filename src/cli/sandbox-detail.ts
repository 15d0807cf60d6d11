import type { PodObject } from "../api/contract.ts";

/** What the driver tells about the sandbox, by its own names: the daemon's annotation. Empty before there is one. */
export function sandboxDetail({ metadata }: PodObject): Readonly<Record<string, string>> {
  const text = metadata.annotations?.["gantry.dev/sandbox"];
  if (text === undefined) return {};
  const detail: unknown = JSON.parse(text);
  if (typeof detail !== "object" || detail === null) return {};
  return Object.fromEntries(Object.entries(detail).map(([name, value]) => [name, String(value)]));
}

/** "tcg, clone, 62 ms": how the pod's virtual machine runs, and how it came up; undefined when it has none. */
export function vmOf(pod: PodObject): string | undefined {
  const { accelerator, boot } = sandboxDetail(pod);
  return accelerator === undefined || boot === undefined ? undefined : `${accelerator}, ${boot}`;
}

/** Why the virtual machines of these pods run with the accelerator that they have: a line for each answer. */
export function acceleratorReasons(pods: readonly PodObject[]): string[] {
  const lines = pods.flatMap((pod) => {
    const { accelerator, why } = sandboxDetail(pod);
    return accelerator === undefined || why === undefined || why === "" ? [] : [`${accelerator}: ${why}`];
  });
  return [...new Set(lines)];
}
