/** Of /metrics what kube-state-metrics makes of objects, as far as dashboards of pods and nodes ask for it. Pure. */
import type { NodeObject, PodObject } from "../api/contract.ts";
import { parseBytes, parseQuantity } from "../manifest/index.ts";
import type { Family, Sample } from "./exposition.ts";
import { counter, gauge } from "./families.ts";
import type { ScrapeParts } from "./scrape.ts";

const PHASES = ["Pending", "Running", "Succeeded", "Failed", "Unknown"] as const;
const TRUTHS = ["True", "False", "Unknown"] as const;

export function podStateFamilies({ objects, node }: Pick<ScrapeParts, "objects" | "node">): Family[] {
  const served = objects();
  const named = ({ metadata: { namespace, name, uid } }: PodObject) => ({ namespace, pod: name, uid });
  const each = (sample: (pod: PodObject) => readonly Sample[]): Sample[] =>
    served.flatMap((pod) => sample(pod).map((one) => ({ ...one, labels: { ...named(pod), ...one.labels } })));
  const containers = (pod: PodObject) => pod.status.containerStatuses ?? [];
  return [
    gauge(
      "kube_pod_info",
      "Information about pod.",
      each(({ spec, status, metadata: { ownerReferences: owners = [] } }) => [
        {
          labels: {
            host_ip: status.hostIP ?? "",
            pod_ip: status.podIP ?? "",
            node,
            created_by_kind: owners[0]?.kind ?? "<none>",
            created_by_name: owners[0]?.name ?? "<none>",
            host_network: String(spec.hostNetwork === true),
          },
          value: 1,
        },
      ]),
    ),
    gauge(
      "kube_pod_start_time",
      "Start time in unix timestamp for a pod.",
      each(({ status }) => (status.startTime === undefined ? [] : [{ value: Date.parse(status.startTime) / 1000 }])),
    ),
    gauge(
      "kube_pod_status_phase",
      "The pods current phase.",
      each(({ status }) => PHASES.map((phase) => ({ labels: { phase }, value: status.phase === phase ? 1 : 0 }))),
    ),
    gauge(
      "kube_pod_status_ready",
      "Describes whether the pod is ready to serve requests.",
      each(({ status }) => {
        const ready = status.conditions.find(({ type }) => type === "Ready")?.status ?? "False";
        return TRUTHS.map((truth) => ({ labels: { condition: truth.toLowerCase() }, value: ready === truth ? 1 : 0 }));
      }),
    ),
    counter(
      "kube_pod_container_status_restarts_total",
      "The number of container restarts per container.",
      each((pod) => containers(pod).map(({ name, restartCount }) => one(name, restartCount))),
    ),
    gauge(
      "kube_pod_container_status_ready",
      "Describes whether the containers readiness check succeeded.",
      each((pod) => containers(pod).map(({ name, ready }) => one(name, ready ? 1 : 0))),
    ),
    gauge(
      "kube_pod_container_status_running",
      "Describes whether the container is currently in running state.",
      each((pod) => containers(pod).map(({ name, state }) => one(name, "running" in state ? 1 : 0))),
    ),
    gauge(
      "kube_pod_container_status_waiting_reason",
      "Describes the reason the container is currently in waiting state.",
      each((pod) =>
        containers(pod).flatMap(({ name, state }) =>
          "waiting" in state ? [one(name, 1, { reason: state.waiting.reason })] : [],
        ),
      ),
    ),
    gauge(
      "kube_pod_container_status_last_terminated_reason",
      "Describes the last reason the container was in terminated state.",
      each((pod) =>
        containers(pod).flatMap(({ name, lastState }) =>
          lastState !== undefined && "terminated" in lastState
            ? [one(name, 1, { reason: lastState.terminated.reason })]
            : [],
        ),
      ),
    ),
    ...(["requests", "limits"] as const).map((kind) =>
      gauge(
        `kube_pod_container_resource_${kind}`,
        kind === "requests"
          ? "The number of requested request resource by a container."
          : "The number of requested limit resource by a container.",
        each(({ spec }) =>
          spec.containers.flatMap(({ name, resources }) =>
            Object.entries(resources?.[kind] ?? {}).map(([resource, quantity]) =>
              one(name, parseQuantity(String(quantity)) ?? 0, { node, ...resourceLabels(resource) }),
            ),
          ),
        ),
      ),
    ),
  ];
}

export function nodeStateFamilies({ describedNode }: Pick<ScrapeParts, "describedNode">): Family[] {
  const { metadata, status }: NodeObject = describedNode();
  const node = metadata.name;
  const resources = (list: Readonly<Record<string, string>>): Sample[] =>
    Object.entries(list).map(([resource, quantity]) => ({
      labels: { node, ...resourceLabels(resource) },
      value: parseBytes(quantity) ?? 0,
    }));
  const { nodeInfo } = status;
  return [
    gauge("kube_node_info", "Information about a cluster node.", [
      {
        labels: {
          node,
          kernel_version: nodeInfo["kernelVersion"] ?? "",
          os_image: nodeInfo["osImage"] ?? "",
          container_runtime_version: nodeInfo["containerRuntimeVersion"] ?? "",
          kubelet_version: nodeInfo["kubeletVersion"] ?? "",
          internal_ip: status.addresses.find(({ type }) => type === "InternalIP")?.address ?? "",
        },
        value: 1,
      },
    ]),
    gauge("kube_node_status_capacity", "The capacity for different resources of a node.", resources(status.capacity)),
    gauge(
      "kube_node_status_allocatable",
      "The allocatable for different resources of a node that are available for scheduling.",
      resources(status.allocatable),
    ),
    gauge(
      "kube_node_status_condition",
      "The condition of a cluster node.",
      status.conditions.flatMap(({ type, status: truth }) =>
        TRUTHS.map((each) => ({
          labels: { node, condition: type, status: each.toLowerCase() },
          value: truth === each ? 1 : 0,
        })),
      ),
    ),
  ];
}

function one(container: string, value: number, more: Readonly<Record<string, string>> = {}): Sample {
  return { labels: { container, ...more }, value };
}

/** As kube-state-metrics names them: what is no letter or digit becomes "_". */
function resourceLabels(resource: string): { readonly resource: string; readonly unit: string } {
  const unit = resource === "cpu" ? "core" : /memory|storage/.test(resource) ? "byte" : "integer";
  return { resource: resource.replaceAll(/[^a-zA-Z0-9]/g, "_"), unit };
}
