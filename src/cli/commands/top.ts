import type { NodeMetrics, PodMetrics } from "../../api/client.ts";
import type { NodeObject } from "../../api/contract.ts";
import { parseBytes, parseMilliCpu, parseQuantity } from "../../manifest/quantity.ts";
import { GantryError } from "../../system/errors.ts";
import type { Context } from "../context.ts";
import { ALL_NAMESPACES, listedNamespace } from "../namespaces.ts";
import { withProgress } from "../output/progress.ts";
import { renderTable } from "../output/table.ts";
import { parsePodRef } from "../parse/pod-name.ts";
import { findPod, keyOfPod } from "../pods.ts";
import type { Call, CommandSpec } from "../spec.ts";

const PODS = ["pods", "pod", "po"];
const NODES = ["node", "nodes", "no"];
const SORTS = ["cpu", "memory"] as const;

export const top: CommandSpec = {
  summary: "How much CPU and memory pods and the node use",
  description:
    "CPU in thousandths of a core, measured while you wait (a second, or since somebody asked within the last minute).\n" +
    "Memory is the working set: all but the file cache that the kernel would take back first. Of a pod in a micro-VM it\n" +
    "is what its containers use inside; the machine itself comes on top of that.",
  arguments: [
    { syntax: "[what]", description: "pods (the default) or node; or the name of a pod", complete: ["pods", "node"] },
    { syntax: "[name]", description: "only this pod: NAME or NAMESPACE/NAME", complete: "pod" },
  ],
  options: [
    { flags: "--containers", description: "each container by itself" },
    { flags: "--sort-by <what>", description: "cpu or memory: the hungriest first", complete: SORTS },
    ALL_NAMESPACES,
  ],
  outputs: ["table", "json", "yaml"],
  examples: [
    { line: "gantry top", does: "every pod that runs" },
    { line: "gantry top pods web --containers", does: "the containers of one pod" },
    { line: "gantry top --sort-by memory", does: "who uses the most" },
    { line: "gantry top node", does: "this host" },
  ],
  run,
};

async function run(call: Call): Promise<undefined> {
  const [first, second] = call.args;
  const what = first?.toLowerCase() ?? "pods";
  if (NODES.includes(what)) return await topNode(call, second);
  if (PODS.includes(what)) return await topPods(call, second);
  if (second === undefined) return await topPods(call, first);
  throw new GantryError("usage", `'${first}' is nothing that can be measured`, {
    hint: "Write 'gantry top pods NAME' or 'gantry top node'.",
  });
}

interface Used {
  readonly namespace: string;
  readonly pod: string;
  readonly container: string;
  readonly milli: number;
  readonly bytes: number;
}

async function topPods(call: Call, name: string | undefined): Promise<undefined> {
  const { flags, context } = call;
  const listed = listedNamespace(call);
  const sort = flags.choice("sortBy", SORTS);
  const client = await context.client();
  const ref = name === undefined ? undefined : parsePodRef(name, context);
  const namespace = ref?.namespace ?? listed;
  const scope = {
    ...(namespace === undefined ? {} : { namespace }),
    ...(ref === undefined ? {} : { fieldSelector: `metadata.name=${ref.name}` }),
  };
  const list = await withProgress("measuring", client.podMetrics(scope));
  if (name !== undefined && list.items.length === 0) {
    const pod = await findPod(client, context, name);
    throw new GantryError("not-found", `pod ${keyOfPod(pod)} has no container that runs`, {
      hint: `See why: gantry describe ${name}`,
    });
  }
  if (context.out.format !== "table") {
    await context.out.structured(list);
    return undefined;
  }
  if (list.items.length === 0) {
    context.out.note("No pod runs.");
    return undefined;
  }
  const each = list.items.flatMap(usedBy);
  const lines = flags.on("containers") ? each : [...Map.groupBy(each, keyOfUsed).values()].map(together);
  const severalNamespaces = new Set(lines.map(({ namespace: one }) => one)).size > 1;
  const names = [...(severalNamespaces ? ["NAMESPACE"] : []), ...(flags.on("containers") ? ["POD"] : []), "NAME"];
  const rows = sorted(lines, sort).map(({ namespace: one, pod, container, milli, bytes }) => [
    ...(severalNamespaces ? [one] : []),
    ...(flags.on("containers") ? [pod, container] : [pod]),
    `${milli}m`,
    mebibytes(bytes),
  ]);
  context.out.write(renderTable([...names, "CPU(cores)", "MEMORY(bytes)"], rows));
  return undefined;
}

function usedBy({ metadata, containers }: PodMetrics): Used[] {
  return containers.map(({ name, usage }) => ({
    namespace: metadata.namespace,
    pod: metadata.name,
    container: name,
    milli: parseMilliCpu(usage.cpu) ?? 0,
    bytes: parseBytes(usage.memory) ?? 0,
  }));
}

function together(containers: readonly Used[]): Used {
  const [first] = containers;
  const sum = (field: "milli" | "bytes"): number => containers.reduce((total, one) => total + one[field], 0);
  return {
    namespace: first?.namespace ?? "",
    pod: first?.pod ?? "",
    container: "",
    milli: sum("milli"),
    bytes: sum("bytes"),
  };
}

function keyOfUsed({ namespace, pod }: Used): string {
  return `${namespace}/${pod}`;
}

function sorted(lines: readonly Used[], by: (typeof SORTS)[number] | undefined): Used[] {
  const name = (one: Used): string => `${keyOfUsed(one)}/${one.container}`;
  const size = ({ milli, bytes }: Used): number => (by === undefined ? 0 : by === "cpu" ? milli : bytes);
  return [...lines].sort((a, b) => size(b) - size(a) || (name(a) < name(b) ? -1 : 1));
}

async function topNode({ context, flags }: Call, name: string | undefined): Promise<undefined> {
  if (flags.on("containers")) {
    throw new GantryError("usage", "--containers is for pods", { hint: "Write 'gantry top pods --containers'." });
  }
  const client = await context.client();
  const measuring = Promise.all([client.nodeMetrics(), client.listNodes()]);
  const [list, nodes] = await withProgress("measuring", measuring);
  const items = list.items.filter(({ metadata }) => name === undefined || metadata.name === name);
  if (items.length === 0) {
    throw new GantryError("not-found", `there is no node '${name}'`, {
      hint: `This node is ${list.items.map(({ metadata }) => metadata.name).join()}.`,
    });
  }
  if (context.out.format === "table") writeNodes(context, items, nodes.items);
  else await context.out.structured({ ...list, items });
  return undefined;
}

function writeNodes({ out }: Context, items: readonly NodeMetrics[], nodes: readonly NodeObject[]): void {
  const rows = items.map(({ metadata, usage }) => {
    const capacity = nodes.find((node) => node.metadata.name === metadata.name)?.status.allocatable;
    const [milli, bytes] = [parseMilliCpu(usage.cpu) ?? 0, parseBytes(usage.memory) ?? 0];
    const share = (used: number, of: string | undefined, unit: number): string => {
      const all = (parseQuantity(of ?? "") ?? 0) * unit;
      return all > 0 ? `${Math.round((100 * used) / all)}%` : "-";
    };
    return [
      metadata.name,
      `${milli}m`,
      share(milli, capacity?.["cpu"], 1000),
      mebibytes(bytes),
      share(bytes, capacity?.["memory"], 1),
    ];
  });
  out.write(renderTable(["NAME", "CPU(cores)", "CPU(%)", "MEMORY(bytes)", "MEMORY(%)"], rows));
}

/** As kubectl prints it. */
function mebibytes(bytes: number): string {
  return `${Math.floor(bytes / 2 ** 20)}Mi`;
}
