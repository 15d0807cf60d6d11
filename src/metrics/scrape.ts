/** What Prometheus gets, with the names that the kubelet and cAdvisor have for it. Looked up when it asks. */
import type { NodeObject, PodObject } from "../api/contract.ts";
import { cadvisorFamilies } from "./cadvisor.ts";
import { formatFamilies } from "./exposition.ts";
import { kubeletFamilies } from "./kubelet.ts";
import type { MeterParts } from "./meter.ts";
import type { Operations } from "./operations.ts";
import { processFamilies } from "./process.ts";
import type { Recorder } from "./recorder.ts";
import { resourceFamilies } from "./resource.ts";
import { nodeStateFamilies, podStateFamilies } from "./state.ts";
import { statsSummary } from "./summary.ts";

/** /metrics, /metrics/cadvisor, /metrics/resource, /stats/summary */
export type Scrape = "kubelet" | "cadvisor" | "resource" | "summary";

export interface ScrapeParts extends MeterParts {
  readonly objects: () => readonly PodObject[];
  readonly describedNode: () => NodeObject;
  readonly recorder: Recorder;
  readonly operations: Operations;
  /** Bytes in the writable layers and logs of containers by their names, for each of these pods that is known; may be a minute old. */
  readonly diskUsage: (uids: readonly string[]) => Promise<DiskUse>;
  readonly version: string;
  readonly cpus: number;
  /** ms since the epoch, when the daemon began. */
  readonly startedAt: number;
}

/** By the uid of the pod, then by the container's name. */
export type DiskUse = ReadonlyMap<string, Readonly<Record<string, number>>>;

export async function scrape(parts: ScrapeParts, what: Scrape): Promise<string> {
  switch (what) {
    case "kubelet":
      return formatFamilies([
        ...kubeletFamilies(parts),
        ...podStateFamilies(parts),
        ...nodeStateFamilies(parts),
        ...parts.recorder.families(),
        ...parts.operations.families(),
        ...processFamilies(parts.read),
      ]);
    case "cadvisor":
      return formatFamilies(await cadvisorFamilies(parts));
    case "resource":
      return formatFamilies(await resourceFamilies(parts));
    case "summary":
      return JSON.stringify(await statsSummary(parts));
  }
}
