import type { ApiClient } from "../../api/client.ts";
import type { PodObject, ProblemReport, ServedObject } from "../../api/contract.ts";
import { GantryError, isGantryError } from "../../system/errors.ts";
import { EXIT } from "../exit.ts";
import { isReady } from "../goal.ts";
import { ALL_NAMESPACES, listedNamespace } from "../namespaces.ts";
import { listObjects } from "../objects.ts";
import { isShown, objectTable } from "../output/object-table.ts";
import { podTable, sortPods } from "../output/pod-table.ts";
import { pressureSection } from "../output/pressure.ts";
import { problemSection } from "../output/problems.ts";
import { withProgress } from "../output/progress.ts";
import { count } from "../output/text.ts";
import { updateSection } from "../output/updates.ts";
import { unchangedSection, waitingSection } from "../output/waiting.ts";
import { findPod, keyOfPod } from "../pods.ts";
import { acceleratorReasons } from "../sandbox-detail.ts";
import type { Call, CommandSpec } from "../spec.ts";

export const status: CommandSpec = {
  summary: "What runs, and why not",
  description:
    "Shows every pod, what keeps pods (Deployments, Jobs …), and below them why some can't go on, and every manifest that is broken, with its error.\n" +
    "All namespaces unless -n names one.",
  arguments: [{ syntax: "[pod]", description: "only this pod: NAME, NAMESPACE/NAME or pod/NAME", complete: "pod" }],
  options: [
    { flags: "-w, --watch", description: "go on and print every change" },
    {
      flags: "--exit-code",
      description: "exit with 1 unless every pod is Ready or Succeeded, no manifest is broken and no source is held",
    },
    ALL_NAMESPACES,
  ],
  outputs: ["table", "wide", "json", "yaml"],
  examples: [
    { line: "gantry status", does: "every pod" },
    { line: "gantry status web -w", does: "one pod, and how it goes on" },
    { line: "gantry status --exit-code", does: "for scripts and monitoring: is everything well?" },
    { line: "gantry status -o json", does: "a v1 PodList" },
  ],
  run,
};

async function run(call: Call): Promise<number> {
  const { flags, context } = call;
  const namespace = listedNamespace(call);
  if (flags.on("watch") && flags.on("exitCode")) {
    throw new GantryError("usage", "--watch and --exit-code exclude each other", {
      hint: "To wait for a state use 'gantry wait'.",
    });
  }
  const client = await context.client();
  const asking = Promise.all([listOf(client, call, namespace), client.problems()]);
  const [list, report] = await withProgress("asking the daemon", asking);
  const view = { apiVersion: list.apiVersion, kind: list.kind, metadata: list.metadata, items: sortPods(list.items) };
  const relevant = call.args.length > 0 ? problemsOf(report, view.items) : report;
  if (flags.on("watch")) {
    const { watchStatus } = await import("./status-watch.ts");
    return watchStatus(call, client, view, relevant);
  }
  if (context.out.format === "json" || context.out.format === "yaml") {
    await context.out.structured(view);
    const broken = relevant.problems.filter((problem) => problem.severity === "error").length;
    if (broken > 0) context.out.note(`${count(broken, "manifest error")}: 'gantry status' shows them.`);
  } else {
    await printStatus(call, client, view.items, relevant);
  }
  return flags.on("exitCode") && !isWell(view.items, relevant) ? EXIT.failed : EXIT.ok;
}

async function listOf(client: ApiClient, { args, context }: Call, namespace: string | undefined) {
  const [name] = args;
  if (name === undefined) return client.listPods(namespace === undefined ? {} : { namespace });
  const pod = await findPod(client, context, name);
  const { resourceVersion } = pod.metadata;
  return { apiVersion: "v1", kind: "PodList", metadata: { resourceVersion }, items: [pod] };
}

/** The table, and below it what is wrong. */
async function printStatus(call: Call, client: ApiClient, pods: readonly PodObject[], report: ProblemReport) {
  const { args, context } = call;
  const { out } = context;
  if (pods.length === 0) await noteNoPods(call, client);
  else out.write(podTable(pods, out, context.now()));
  const reasons = out.format === "wide" ? acceleratorReasons(pods) : [];
  const one = pods.length === 1 && args.length > 0;
  const conditions = one ? [] : await nodePressure(client);
  const objects = one ? [] : await shownObjects(client, listedNamespace(call));
  const sections = [
    objects.length === 0 ? [] : objectTable(objects, out.colors, context.now()).trimEnd().split("\n"),
    reasons.length === 0 ? [] : ["Micro-VMs:", ...reasons.map((reason) => `  ${reason}`)],
    pressureSection(conditions, out.colors),
    waitingSection(pods, out.colors),
    unchangedSection(pods, out.colors),
    updateSection(pods, out.colors),
    problemSection(report, out.colors),
  ];
  for (const [index, lines] of sections.filter((section) => section.length > 0).entries()) {
    out.write(`${pods.length > 0 || index > 0 ? "\n" : ""}${lines.join("\n")}\n`);
  }
}

/** Conditions of the node that keep pods from it. */
async function nodePressure(client: ApiClient): Promise<string[]> {
  const { items } = await client.listNodes();
  return items.flatMap(({ status: { conditions } }) =>
    conditions.flatMap(({ type, status: holds }) => (holds === "True" && type.endsWith("Pressure") ? [type] : [])),
  );
}

/** Deployments and their like; a daemon that does not know them yet has none. */
async function shownObjects(client: ApiClient, namespace: string | undefined): Promise<ServedObject[]> {
  try {
    return (await listObjects(client, namespace)).filter(isShown);
  } catch (error) {
    if (isGantryError(error, "not-found")) return [];
    throw error;
  }
}

/** Says that there are none, and what to do about it. */
export async function noteNoPods(call: Call, client: ApiClient): Promise<void> {
  const [{ context }, namespace] = [call, listedNamespace(call)];
  const { manifests } = await client.daemonInfo();
  context.out.note(
    namespace === undefined
      ? `No pods. Put a manifest into ${manifests.join(" or ")}, or run 'gantry apply -f FILE'.`
      : `No pods in namespace '${namespace}'.`,
  );
}

/** What `--exit-code` asks. */
export function isWell(pods: readonly PodObject[], report: ProblemReport): boolean {
  const broken = report.problems.some((problem) => problem.severity === "error");
  return !broken && report.held.length === 0 && pods.every(isReadyOrDone);
}

function isReadyOrDone(pod: PodObject): boolean {
  return pod.status.phase === "Succeeded" || isReady(pod);
}

function problemsOf(report: ProblemReport, pods: readonly PodObject[]): ProblemReport {
  const names = new Set(pods.map((pod) => `Pod ${keyOfPod(pod)}`));
  return {
    problems: report.problems.filter(({ object }) => object !== undefined && names.has(object)),
    held: report.held,
  };
}
