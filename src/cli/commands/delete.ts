import type { ApiClient } from "../../api/client.ts";
import type { PodObject, ServedObject } from "../../api/contract.ts";
import { GantryError, isGantryError, toGantryError } from "../../system/errors.ts";
import { EXIT, exitCodeOf } from "../exit.ts";
import type { Flags } from "../flags.ts";
import { judge } from "../goal.ts";
import { CLAIM_KIND, getObject, listObjects, OBJECT_KINDS, type ObjectRef, parseObjectRef } from "../objects.ts";
import { sortPods } from "../output/pod-table.ts";
import { count } from "../output/text.ts";
import { parseDurationMs } from "../parse/duration.ts";
import { DEFAULT_NAMESPACE, type PodRef, parsePodRef } from "../parse/pod-name.ts";
import { keyOfPod, namespaceOf, notFound } from "../pods.ts";
import { reportError } from "../report.ts";
import type { Call, CommandSpec } from "../spec.ts";
import { waitFor } from "../wait-for.ts";

const DEFAULT_TIMEOUT_MS = 300_000;

export const deleteCommand: CommandSpec = {
  summary: "Take pods out of the folder",
  description: "Takes pods out of their manifest files. They are stopped in their grace and removed.",
  arguments: [
    {
      syntax: "[pods...]",
      description: "NAME, NAMESPACE/NAME, pod/NAME or deployment/NAME, job/NAME, pvc/NAME …",
      complete: "pod",
    },
  ],
  options: [
    { flags: "--all", description: "every pod of the namespace (with -A: of all namespaces)" },
    { flags: "-A, --all-namespaces", description: "with --all: of every namespace" },
    {
      flags: "-f, --filename <path>",
      description: "the pods of this manifest, folder, or - for stdin",
      complete: "file",
      repeatable: true,
    },
    {
      flags: "--grace-period <time>",
      description: "instead of the pod's own: seconds, or a duration like 5s; 0 kills at once",
    },
    { flags: "--no-wait", description: "don't wait until they are gone" },
    { flags: "--timeout <duration>", description: "wait at most this long (default: 5m)" },
    { flags: "--ignore-not-found", description: "a pod that is not there is fine" },
  ],
  outputs: [],
  examples: [
    { line: "gantry delete web", does: "one pod" },
    { line: "gantry delete deployment/web", does: "with its pods" },
    { line: "gantry delete pvc/data", does: "a claim; its volume stays, or goes a while later by its reclaim policy" },
    { line: "gantry delete -f web.yaml", does: "what this file describes" },
    { line: "gantry delete --all -n shop --grace-period 5", does: "a whole namespace, quickly" },
  ],
  run,
};

async function run(call: Call): Promise<number> {
  const { flags, context } = call;
  const graceMs = graceOf(flags);
  const timeoutMs = flags.durationMs("timeout") ?? DEFAULT_TIMEOUT_MS;
  const way = wayOf(call);
  const client = await context.client();
  const objects = call.args.flatMap((arg) => parseObjectRef(arg, context, [...OBJECT_KINDS, CLAIM_KIND]) ?? []);
  if (objects.length > 0) return deleteObjects(call, client, objects);
  const there = (await client.listPods()).items;
  const refs = await refsOf(call, way, there);
  if (refs.length === 0) context.out.note("No pods to delete.");
  let exitCode = 0;
  const deleted: PodRef[] = [];
  for (const ref of refs) {
    try {
      await client.deletePod(ref.namespace, ref.name, graceMs === undefined ? {} : { graceMs });
      deleted.push(ref);
      context.out.line(`pod/${ref.name} deleted${ref.namespace === DEFAULT_NAMESPACE ? "" : ` from ${ref.namespace}`}`);
    } catch (error) {
      if (isGantryError(error, "not-found") && flags.on("ignoreNotFound")) continue;
      const told = isGantryError(error, "not-found") ? notFound(ref, there) : toGantryError(error);
      // One that can't be deleted does not keep the others.
      if (refs.length === 1 || exitCodeOf(told.code) === EXIT.unreachable || context.signal.aborted) throw told;
      exitCode = Math.max(exitCode, await reportError(told, context.out, context.verbose));
    }
  }
  if (!flags.off("wait") && deleted.length > 0) {
    const uids = new Map(there.map((pod) => [keyOfPod(pod), pod.metadata.uid]));
    // A pod of the same name with another uid is not the one that was deleted: that one is gone.
    const verdict = (pod: PodObject | undefined, key: string) => {
      const gone = pod !== undefined && uids.has(key) && pod.metadata.uid !== uids.get(key);
      return judge(gone ? undefined : pod, "deleted", context.now());
    };
    await waitFor(client, context, { refs: deleted, aim: "deleted", verdict, timeoutMs });
  }
  return exitCode;
}

/** Deployments, Jobs …: what they keep goes with them. */
async function deleteObjects(call: Call, client: ApiClient, refs: readonly ObjectRef[]): Promise<number> {
  const { args, flags, context } = call;
  if (refs.length < args.length)
    throw new GantryError("usage", "pods and other objects can't be deleted together", {
      hint: "Delete them one after the other.",
    });
  const timeoutMs = flags.durationMs("timeout") ?? DEFAULT_TIMEOUT_MS;
  for (const ref of refs) {
    const { kind, namespace, name } = ref;
    let object: ServedObject;
    try {
      object = await getObject(client, ref);
    } catch (error) {
      if (isGantryError(error, "not-found") && flags.on("ignoreNotFound")) continue;
      throw error;
    }
    const all = await listObjects(client, namespace);
    const owners = new Set([object.metadata.uid]);
    for (const one of all)
      if (one.metadata.ownerReferences?.some(({ uid }) => owners.has(uid))) owners.add(one.metadata.uid);
    const { items } = await client.listPods({ namespace });
    const pods = items.filter(({ metadata }) => metadata.ownerReferences?.some(({ uid }) => owners.has(uid)));
    await client.deleteObject(kind.plural, namespace, name);
    context.out.line(
      `${kind.kind.toLowerCase()}/${name} deleted${namespace === DEFAULT_NAMESPACE ? "" : ` from ${namespace}`}`,
    );
    if (kind === CLAIM_KIND) context.out.note("Its volume is another thing: see 'gantry volume ls'.");
    if (flags.off("wait") || pods.length === 0) continue;
    const uids = new Map(pods.map((pod) => [keyOfPod(pod), pod.metadata.uid]));
    const verdict = (pod: PodObject | undefined, key: string) =>
      judge(pod?.metadata.uid === uids.get(key) ? pod : undefined, "deleted", context.now());
    await waitFor(client, context, { refs: pods.map(refOf), aim: "deleted", verdict, timeoutMs });
  }
  return 0;
}

/** ms. Seconds without a unit are what kubectl takes. */
function graceOf(flags: Flags): number | undefined {
  const text = flags.text("gracePeriod");
  if (text === undefined) return undefined;
  const ms = /^\d{1,9}$/.test(text) ? Number(text) * 1000 : parseDurationMs(text, "--grace-period");
  if (ms % 1000 === 0) return ms;
  throw new GantryError("usage", `--grace-period '${text}' is not a whole number of seconds`, {
    hint: "For example: 5s",
  });
}

type Way = "names" | "all" | "files";

/** @throws GantryError `usage` unless pods are named in exactly one way */
function wayOf({ args, flags, context }: Call): Way {
  const ways: Way[] = [];
  if (args.length > 0) ways.push("names");
  if (flags.on("all")) ways.push("all");
  if (flags.texts("filename").length > 0) ways.push("files");
  const [way] = ways;
  const hint = "Give names, or --all, or -f FILE.";
  if (way === undefined) throw new GantryError("usage", "say which pods to delete", { hint });
  if (ways.length > 1) throw new GantryError("usage", "names, --all and -f exclude each other", { hint });
  if (flags.on("allNamespaces") && (way !== "all" || context.namespace !== undefined)) {
    throw new GantryError("usage", "-A goes with --all, and not with -n", { hint: "gantry delete --all -A" });
  }
  return way;
}

async function refsOf({ args, flags, context }: Call, way: Way, there: readonly PodObject[]): Promise<PodRef[]> {
  switch (way) {
    case "names":
      return unique(args.map((name) => parsePodRef(name, context)));
    case "files": {
      const { podsIn } = await import("../manifests.ts");
      return unique(await podsIn(flags.texts("filename")));
    }
    case "all": {
      const every = sortPods(there).map(refOf);
      if (flags.on("allNamespaces")) return every;
      const inside = every.filter(
        ({ namespace }) => namespace === (context.namespace ?? context.defaultNamespace ?? DEFAULT_NAMESPACE),
      );
      const outside = every.length - inside.length;
      if (outside > 0 && context.namespace === undefined) {
        context.out.note(`${count(outside, "pod")} of other namespaces stay: -A deletes those too.`);
      }
      return inside;
    }
  }
}

function refOf(pod: PodObject): PodRef {
  return { namespace: namespaceOf(pod), name: pod.metadata.name, namespaceGiven: true };
}

function unique(refs: readonly PodRef[]): PodRef[] {
  return [...new Map(refs.map((ref) => [`${ref.namespace}/${ref.name}`, ref])).values()];
}
