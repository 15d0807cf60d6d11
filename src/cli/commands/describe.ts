import type { ApiClient } from "../../api/client.ts";
import type { ServedObject } from "../../api/contract.ts";
import { GantryError } from "../../system/errors.ts";
import type { Context } from "../context.ts";
import { describeObject } from "../describe/object.ts";
import { describePod } from "../describe/pod.ts";
import { getObject, listObjects, type ObjectRef, parseObjectRef } from "../objects.ts";
import { findPod, keyOfPod, namespaceOf } from "../pods.ts";
import type { Call, CommandSpec } from "../spec.ts";

export const describe: CommandSpec = {
  summary: "Everything about one pod, Deployment, Job …",
  description: "Shows a pod's manifest as it is understood, the state of its containers, its volumes and its events.",
  arguments: [
    {
      syntax: "<pods...>",
      description: "NAME, NAMESPACE/NAME, pod/NAME or deployment/NAME, job/NAME …",
      complete: "pod",
    },
  ],
  outputs: ["table", "json", "yaml"],
  examples: [
    { line: "gantry describe web", does: "for people" },
    { line: "gantry describe deployment/web", does: "with its versions and pods" },
    { line: "gantry describe web -o yaml", does: "the pod with its events and problems" },
  ],
  run,
};

async function run({ args, context }: Call): Promise<undefined> {
  const { out } = context;
  const client = await context.client();
  const refs = args.map((arg) => parseObjectRef(arg, context));
  if (refs.some((ref) => ref !== undefined)) {
    if (refs.some((ref) => ref === undefined)) {
      throw new GantryError("usage", "pods and other objects can't be described together", {
        hint: "Describe them one after the other.",
      });
    }
    return describeObjects(
      client,
      context,
      refs.filter((ref) => ref !== undefined),
    );
  }
  const pods = await Promise.all(args.map((arg) => findPod(client, context, arg)));
  const { problems } = await client.problems();
  const reports = await Promise.all(
    pods.map(async (pod) => {
      const fieldSelector = `involvedObject.kind=Pod,involvedObject.name=${pod.metadata.name}`;
      const events = await client.listEvents({ namespace: namespaceOf(pod), fieldSelector });
      return {
        pod,
        // An earlier pod of this name is not what was asked about.
        events: events.items.filter(({ involvedObject: { uid } }) => uid === undefined || uid === pod.metadata.uid),
        problems: problems.filter(({ object }) => object === `Pod ${keyOfPod(pod)}`),
      };
    }),
  );
  if (out.format === "json" || out.format === "yaml") {
    await out.structured(reports.length === 1 ? reports[0] : { items: reports });
    return undefined;
  }
  out.write(reports.map((report) => describePod(report, out.colors, context.now())).join("\n\n"));
  return undefined;
}

async function describeObjects(client: ApiClient, context: Context, refs: readonly ObjectRef[]): Promise<undefined> {
  const { out } = context;
  const objects = await Promise.all(refs.map((ref) => getObject(client, ref)));
  const [{ problems }, { items: pods }, all] = await Promise.all([
    client.problems(),
    client.listPods(),
    listObjects(client, undefined),
  ]);
  const reports = await Promise.all(
    objects.map(async (object) => {
      const { kind, metadata } = object;
      const fieldSelector = `involvedObject.kind=${kind},involvedObject.name=${metadata.name}`;
      const events = await client.listEvents({ namespace: metadata.namespace ?? "default", fieldSelector });
      const owns = (uids: readonly string[]) => (one: Owned) =>
        one.metadata.ownerReferences?.some(({ uid }) => uids.includes(uid)) ?? false;
      const children = all.filter(owns([metadata.uid]));
      const uids = [metadata.uid, ...children.map((child) => child.metadata.uid)];
      return {
        object,
        children,
        pods: pods.filter(owns(uids)),
        events: events.items,
        problems: problems.filter((one) => one.object === `${kind} ${metadata.namespace}/${metadata.name}`),
        ...(kind === "Service" && { endpoints: await endpointsOf(client, metadata) }),
      };
    }),
  );
  if (out.format === "json" || out.format === "yaml") {
    await out.structured(reports.length === 1 ? reports[0] : { items: reports });
    return undefined;
  }
  out.write(reports.map((report) => describeObject(report, out.colors, context.now())).join("\n\n"));
  return undefined;
}

/** Where a Service leads: "10.77.0.2:8080" */
async function endpointsOf(
  client: ApiClient,
  { namespace = "default", name }: ServedObject["metadata"],
): Promise<string[]> {
  const labelSelector = `kubernetes.io/service-name=${name}`;
  const { items } = await client.listObjects("discovery.k8s.io/endpointslices", { namespace, labelSelector });
  return items.flatMap(({ ports = [], endpoints = [] }) => {
    const addresses = endpoints.flatMap((endpoint) => endpoint.addresses);
    return ports.length === 0
      ? addresses
      : addresses.flatMap((address) => ports.map(({ port }) => `${address}:${port}`));
  });
}

interface Owned {
  readonly metadata: { readonly ownerReferences?: readonly { readonly uid: string }[] | undefined };
}
