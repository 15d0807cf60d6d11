/** Of /metrics what the kubelet counts of its pods. */
import type { Family } from "./exposition.ts";
import { gauge } from "./families.ts";
import type { ScrapeParts } from "./scrape.ts";

export function kubeletFamilies({ pods, node, version }: Pick<ScrapeParts, "pods" | "node" | "version">): Family[] {
  const states = pods();
  const containers = states.flatMap((pod) => pod.containers);
  const count = (type: "running" | "terminated" | "waiting"): number =>
    containers.filter(({ state }) => state.type === type).length;
  return [
    gauge("kubelet_node_name", "The node's name. The count is always 1.", [{ labels: { node }, value: 1 }]),
    gauge("kubelet_desired_pods", "Number of pods that are wanted here.", [
      { labels: { static: "" }, value: states.filter(({ deletionDeadline }) => deletionDeadline === undefined).length },
    ]),
    gauge("kubelet_running_pods", "Number of pods that have a running pod sandbox.", [
      { value: states.filter(({ sandbox, stage }) => sandbox !== undefined && stage !== "completed").length },
    ]),
    gauge("kubelet_running_containers", "Number of containers by their state.", [
      { labels: { container_state: "running" }, value: count("running") },
      { labels: { container_state: "exited" }, value: count("terminated") },
      { labels: { container_state: "created" }, value: count("waiting") },
    ]),
    gauge("gantry_build_info", "Gantry's version. The value is always 1.", [{ labels: { version }, value: 1 }]),
  ];
}
