import { GantryError } from "../../system/errors.ts";
import { getObject, requireObjectRef } from "../objects.ts";
import type { Call, CommandSpec } from "../spec.ts";

export const scale: CommandSpec = {
  summary: "Say how many pods a Deployment, StatefulSet or ReplicaSet keeps",
  description: "Writes the number into the manifest; everything else in the file stays as it is.",
  arguments: [
    {
      syntax: "<object>",
      description: "deployment/NAME, statefulset/NAME or replicaset/NAME",
      complete: ["deployment/", "statefulset/", "replicaset/"],
    },
  ],
  options: [{ flags: "--replicas <n>", description: "how many" }],
  outputs: [],
  examples: [{ line: "gantry scale deployment/web --replicas 3", does: "three pods" }],
  run,
};

async function run({ args, flags, context }: Call): Promise<undefined> {
  const ref = requireObjectRef(args[0] ?? "", context, ["Deployment", "StatefulSet", "ReplicaSet"]);
  const replicas = flags.integer("replicas", 0);
  if (replicas === undefined) {
    throw new GantryError("usage", "say how many", { hint: `gantry scale ${args[0]} --replicas 3` });
  }
  const client = await context.client();
  await getObject(client, ref);
  const changes = [{ path: ["spec", "replicas"], value: replicas }];
  const file = await client.editObject(ref.kind.kind, ref.namespace, ref.name, changes);
  context.out.line(`${ref.kind.kind.toLowerCase()}/${ref.name} scaled to ${replicas} (${file})`);
  return undefined;
}
