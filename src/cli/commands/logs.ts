import { once } from "node:events";
import { GantryError } from "../../system/errors.ts";
import { chooseContainer, findPod, namespaceOf } from "../pods.ts";
import type { Call, CommandSpec } from "../spec.ts";

export const logs: CommandSpec = {
  summary: "What a container printed",
  arguments: [{ syntax: "<pod>", description: "NAME, NAMESPACE/NAME or pod/NAME", complete: "pod" }],
  options: [
    { flags: "-c, --container <name>", description: "which container, if the pod has several", complete: "container" },
    { flags: "-f, --follow", description: "go on as more is printed, until the container ends" },
    { flags: "-p, --previous", description: "of the run before the present one" },
    { flags: "--tail <lines>", description: "only the last lines (-1: all of them)" },
    { flags: "--since <duration>", description: "only what is newer, like 30s, 5m or 1h30m" },
    { flags: "--timestamps", description: "begin every line with its time" },
  ],
  outputs: [],
  examples: [
    { line: "gantry logs -f web", does: "follow it" },
    { line: "gantry logs web -c app --tail 20", does: "the last 20 lines of one container" },
    { line: "gantry logs web --previous", does: "why it crashed" },
  ],
  run,
};

async function run({ args, flags, context }: Call): Promise<undefined> {
  const tail = flags.integer("tail", -1);
  const since = flags.durationMs("since");
  const client = await context.client();
  const pod = await findPod(client, context, args[0] ?? "");
  const { name, note } = chooseContainer(pod, flags.text("container"));
  if (note !== undefined) context.out.note(note);
  const log = await client.podLog(namespaceOf(pod), pod.metadata.name, {
    container: name,
    follow: flags.on("follow"),
    previous: flags.on("previous"),
    timestamps: flags.on("timestamps"),
    ...(tail !== undefined && tail >= 0 && { tailLines: tail }),
    ...(since !== undefined && { sinceTime: new Date(context.now() - since).toISOString() }),
    signal: context.signal,
  });
  try {
    for await (const chunk of log) {
      // The bytes as the app wrote them; a slow reader holds the daemon back instead of filling our memory.
      if (!context.out.write(chunk)) await once(process.stdout, "drain");
    }
  } catch (error) {
    if (context.signal.aborted) throw error;
    throw new GantryError("daemon-unreachable", "the daemon went away in the middle of the log", {
      hint: "Start it again with 'gantry daemon'; no line is lost.",
      cause: error,
    });
  }
  return undefined;
}
