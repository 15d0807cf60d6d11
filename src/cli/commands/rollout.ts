import type { ApiClient } from "../../api/client.ts";
import type { ServedObject } from "../../api/contract.ts";
import { GantryError, isGantryError } from "../../system/errors.ts";
import { timestamp } from "../../system/timestamp.ts";
import { conditionsOf, getObject, labelOf, numberOf, type ObjectRef, requireObjectRef } from "../objects.ts";
import { renderTable } from "../output/table.ts";
import type { ArgumentSpec, Call, CommandSpec } from "../spec.ts";
import { followWatch } from "../watch.ts";

const ROLLING = ["Deployment", "StatefulSet", "DaemonSet"] as const;
const DEFAULT_TIMEOUT_MS = 600_000;
const OBJECT: ArgumentSpec = {
  syntax: "<object>",
  description: "deployment/NAME, statefulset/NAME or daemonset/NAME",
  complete: ["deployment/", "statefulset/", "daemonset/"],
};

export const rollout: CommandSpec = {
  summary: "See, undo, pause and resume changes of Deployments, StatefulSets and DaemonSets",
  outputs: [],
  examples: [
    { line: "gantry rollout status deployment/web", does: "wait until the new version runs" },
    { line: "gantry rollout undo deployment/web", does: "back to the version before" },
  ],
  subcommands: {
    status: {
      summary: "Wait until the present version runs everywhere",
      arguments: [OBJECT],
      options: [
        { flags: "--no-wait", description: "only say how it stands" },
        { flags: "--timeout <duration>", description: "give up after this (default: 10m)" },
      ],
      outputs: [],
      examples: [{ line: "gantry rollout status deployment/web --timeout 2m", does: "exits with 1 when it fails" }],
      run: status,
    },
    history: {
      summary: "The versions that can be gone back to",
      arguments: [OBJECT],
      outputs: ["table", "json", "yaml"],
      examples: [{ line: "gantry rollout history deployment/web", does: "revisions, oldest first" }],
      run: history,
    },
    undo: {
      summary: "Put an earlier version back into the manifest",
      arguments: [OBJECT],
      options: [{ flags: "--to-revision <n>", description: "this one (default: the one before)" }],
      outputs: [],
      examples: [{ line: "gantry rollout undo deployment/web --to-revision 2", does: "a version of the history" }],
      run: undo,
    },
    restart: {
      summary: "Make all pods anew, in the manner of a change",
      arguments: [OBJECT],
      outputs: [],
      examples: [{ line: "gantry rollout restart deployment/web", does: "one after the other" }],
      run: restart,
    },
    pause: {
      summary: "Let a Deployment begin no new version",
      arguments: [OBJECT],
      outputs: [],
      examples: [{ line: "gantry rollout pause deployment/web", does: "until it is resumed" }],
      run: (call) => setPaused(call, true),
    },
    resume: {
      summary: "Let a paused Deployment go on",
      arguments: [OBJECT],
      outputs: [],
      examples: [{ line: "gantry rollout resume deployment/web", does: "with what its manifest says now" }],
      run: (call) => setPaused(call, false),
    },
  },
};

function refOf({ args, context }: Call, kinds: readonly string[] = ROLLING): ObjectRef {
  return requireObjectRef(args[0] ?? "", context, kinds);
}

interface Progress {
  readonly done: boolean;
  readonly failed: boolean;
  readonly text: string;
}

/** In the words of `kubectl rollout status`. */
export function progressOf(object: ServedObject): Progress {
  const { kind, spec, status, metadata } = object;
  const n = (field: string): number => numberOf(status, field);
  const said = (text: string, done = false, failed = false): Progress => ({ text, done, failed });
  const waiting = (text: string): Progress => said(`Waiting for ${labelOf(object)} to finish: ${text}...`);
  if (n("observedGeneration") < (metadata.generation ?? 0)) return waiting("its change is not seen yet");
  if (kind === "DaemonSet") {
    if (n("updatedNumberScheduled") < 1) return waiting("the new pod is not there yet");
    return n("numberAvailable") < 1
      ? waiting("0 of 1 updated pods are available")
      : said(`${labelOf(object)} is rolled out`, true);
  }
  const late = conditionsOf(object).find(({ reason }) => reason === "ProgressDeadlineExceeded");
  if (late !== undefined)
    return said(`${labelOf(object)} exceeded its progress deadline: ${late.message}`, false, true);
  const wanted = numberOf(spec, "replicas", 1);
  const updated = n("updatedReplicas");
  if (updated < wanted) return waiting(`${updated} out of ${wanted} new replicas have been updated`);
  if (n("replicas") > updated) return waiting(`${n("replicas") - updated} old replicas are pending termination`);
  if (n("availableReplicas") < updated)
    return waiting(`${n("availableReplicas")} of ${updated} updated replicas are available`);
  return said(`${labelOf(object)} is rolled out`, true);
}

async function status(call: Call): Promise<number> {
  const { flags, context } = call;
  const ref = refOf(call);
  const client = await context.client();
  const timeoutMs = flags.durationMs("timeout") ?? DEFAULT_TIMEOUT_MS;
  const first = await getObject(client, ref);
  let said = "";
  const look = (object: ServedObject): Progress => {
    const progress = progressOf(object);
    if (progress.failed)
      throw new GantryError("conflict", progress.text, { hint: `See 'gantry describe ${labelOf(object)}'.` });
    if (progress.text !== said) context.out.line(progress.text);
    said = progress.text;
    return progress;
  };
  if (look(first).done || flags.off("wait")) return 0;
  const timer = AbortSignal.timeout(Math.min(timeoutMs, 2 ** 31 - 1));
  const signal = AbortSignal.any([timer, context.signal]);
  const scope = { namespace: ref.namespace, fieldSelector: `metadata.name=${ref.name}` };
  try {
    const changes = followWatch((watch) => client.watchObjects(ref.kind.plural, watch), scope, signal);
    for await (const { type, object } of changes) {
      if (type === "DELETED") throw new GantryError("not-found", `${labelOf(object)} was taken away`);
      if (look(object).done) return 0;
    }
  } catch (error) {
    // The time is up: told below.
    if (!isGantryError(error, "cancelled")) throw error;
  }
  if (context.signal.aborted) throw new GantryError("cancelled", "interrupted");
  throw new GantryError("timeout", `gave up: ${said}`, { hint: `See 'gantry describe ${labelOf(first)}'.` });
}

interface Revision {
  readonly revision: number;
  readonly name: string;
  readonly created: string;
  readonly changeCause: string;
}

async function history(call: Call): Promise<undefined> {
  const { context } = call;
  const { out } = context;
  const ref = refOf(call);
  const client = await context.client();
  const object = await getObject(client, ref);
  const revisions = await revisionsOf(client, object);
  if (out.format === "json" || out.format === "yaml") {
    await out.structured({ object: labelOf(object), revisions });
    return undefined;
  }
  out.write(
    renderTable(
      ["REVISION", "NAME", "CREATED", "CHANGE-CAUSE"],
      revisions.map(({ revision, name, created, changeCause }) => [String(revision), name, created, changeCause]),
    ),
  );
  return undefined;
}

async function revisionsOf(client: ApiClient, { kind, metadata }: ServedObject): Promise<Revision[]> {
  const plural = kind === "Deployment" ? "apps/replicasets" : "apps/controllerrevisions";
  const { items } = await client.listObjects(plural, { namespace: metadata.namespace ?? "default" });
  return items
    .filter(({ metadata: { ownerReferences } }) => ownerReferences?.some(({ uid }) => uid === metadata.uid))
    .map((item) => ({
      revision: Number(
        item.metadata.annotations?.["deployment.kubernetes.io/revision"] ?? Reflect.get(item, "revision") ?? 0,
      ),
      name: item.metadata.name,
      created: item.metadata.creationTimestamp,
      changeCause: item.metadata.annotations?.["kubernetes.io/change-cause"] ?? "<none>",
    }))
    .sort((a, b) => a.revision - b.revision);
}

async function undo(call: Call): Promise<undefined> {
  const { flags, context } = call;
  const ref = refOf(call);
  const wanted = flags.integer("toRevision", 0);
  const client = await context.client();
  await getObject(client, ref);
  const { revision, file } = await client.undoRollout(ref.kind.kind, ref.namespace, ref.name, wanted);
  context.out.line(`${ref.kind.kind.toLowerCase()}/${ref.name} goes back to revision ${revision} (${file})`);
  return undefined;
}

/** The annotation that kubectl sets, so that the template is another one. */
const RESTARTED_AT = "kubectl.kubernetes.io/restartedAt";

async function restart(call: Call): Promise<undefined> {
  const { context } = call;
  const value = timestamp(context.now());
  const path = ["spec", "template", "metadata", "annotations", RESTARTED_AT];
  return edit(call, refOf(call), [{ path, value }], "restarted");
}

async function setPaused(call: Call, paused: boolean): Promise<undefined> {
  const change = { path: ["spec", "paused"], value: paused ? true : undefined };
  return edit(call, refOf(call, ["Deployment"]), [change], paused ? "paused" : "resumed");
}

async function edit(
  { context }: Call,
  ref: ObjectRef,
  changes: readonly { readonly path: readonly string[]; readonly value: unknown }[],
  done: string,
): Promise<undefined> {
  const client = await context.client();
  await getObject(client, ref);
  const file = await client.editObject(ref.kind.kind, ref.namespace, ref.name, changes);
  context.out.line(`${ref.kind.kind.toLowerCase()}/${ref.name} ${done} (${file})`);
  return undefined;
}
