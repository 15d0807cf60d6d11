import { describePod } from "../describe/pod.ts";
import { findPod, keyOfPod, namespaceOf } from "../pods.ts";
import type { Call, CommandSpec } from "../spec.ts";

export const describe: CommandSpec = {
  summary: "Everything about one pod",
  description: "Shows a pod's manifest as it is understood, the state of its containers, its volumes and its events.",
  arguments: [{ syntax: "<pods...>", description: "NAME, NAMESPACE/NAME or pod/NAME", complete: "pod" }],
  outputs: ["table", "json", "yaml"],
  examples: [
    { line: "gantry describe web", does: "for people" },
    { line: "gantry describe web -o yaml", does: "the pod with its events and problems" },
  ],
  run,
};

async function run({ args, context }: Call): Promise<undefined> {
  const { out } = context;
  const client = await context.client();
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
