/** What can only be counted as it happens; everything else is looked up when somebody asks. */
import type { PodObject, PodWatchEvent } from "../api/contract.ts";
import type { PodEvent } from "../store/contract.ts";
import { type Family, Histogram } from "./exposition.ts";

/** The kubelet's, of kubelet_pod_start_duration_seconds. s */
const START_BUCKETS = [0.1, 0.25, 0.5, 1, 2, 3, 4, 5, 6, 8, 10, 20, 30, 45, 60, 120, 180, 240, 300];
const COMPARISON_BUCKETS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5];
/** More than the reasons that Gantry knows; nothing that comes from outside may make the map grow. */
const MAX_REASONS = 200;

export interface Recorder {
  compared(ms: number): void;
  /** When the last full comparison ended, ms since the epoch. */
  lastComparison(): number | undefined;
  happened(event: Pick<PodEvent, "type" | "reason">): void;
  podChanged(change: PodWatchEvent): void;
  families(): Family[];
}

export function createRecorder(now: () => number): Recorder {
  const starts = new Histogram(START_BUCKETS);
  const comparisons = new Histogram(COMPARISON_BUCKETS);
  const events = new Map<string, number>();
  /** Pods that have not run yet, since when. */
  const starting = new Map<string, number>();
  let started = 0;
  let last: number | undefined;
  return {
    compared(ms) {
      comparisons.observe(ms / 1000);
      last = now();
    },
    lastComparison: () => last,
    happened({ type, reason }) {
      const key = `${type}/${reason}`;
      if (events.has(key) || events.size < MAX_REASONS) events.set(key, (events.get(key) ?? 0) + 1);
    },
    podChanged({ type, object }) {
      const { uid } = object.metadata;
      if (type === "DELETED") {
        starting.delete(uid);
        return;
      }
      // One that already runs when it is first seen was adopted.
      if (type === "ADDED" && !hasRun(object)) starting.set(uid, now());
      const since = starting.get(uid);
      if (since === undefined || !hasRun(object)) return;
      starting.delete(uid);
      started += 1;
      starts.observe(Math.max(0, now() - since) / 1000);
    },
    families() {
      const pulls = (reason: string): number => events.get(reason) ?? 0;
      return [
        histogram("kubelet_pod_start_duration_seconds", "From the first sight of a pod to its running.", starts),
        {
          name: "kubelet_started_pods_total",
          type: "counter",
          help: "Pods that have begun to run.",
          samples: [{ value: started }],
        },
        histogram(
          "gantry_reconcile_duration_seconds",
          "Full comparisons of what runs with what is wanted.",
          comparisons,
        ),
        {
          name: "gantry_events_total",
          type: "counter",
          help: "Events by type and reason, as 'gantry events' shows them.",
          samples: [...events].map(([key, value]) => {
            const [kind = "", reason = ""] = key.split("/");
            return { labels: { type: kind, reason }, value };
          }),
        },
        {
          name: "gantry_image_pulls_total",
          type: "counter",
          help: "Images that were asked for by pods and are here since, or failed to come.",
          samples: [
            { labels: { result: "success" }, value: pulls("Normal/Pulled") },
            { labels: { result: "failure" }, value: pulls("Warning/Failed") },
          ],
        },
      ];
    },
  };
}

function histogram(name: string, help: string, values: Histogram): Family {
  return { name, type: "histogram", help, samples: values.samples() };
}

function hasRun({ status }: PodObject): boolean {
  return status.phase !== "Pending";
}
