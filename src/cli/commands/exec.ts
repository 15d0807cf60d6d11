import { GantryError } from "../../system/errors.ts";
import { chooseContainer, findPod, namespaceOf } from "../pods.ts";
import type { Call, CommandSpec } from "../spec.ts";
import { attachTerminal } from "../terminal.ts";

export const exec: CommandSpec = {
  summary: "Run a command in a container",
  description: "Runs a command in a running container, and exits with its exit code.",
  arguments: [
    { syntax: "<pod>", description: "NAME, NAMESPACE/NAME or pod/NAME", complete: "pod" },
    { syntax: "<command...>", description: "after '--': the command and its arguments" },
  ],
  options: [
    { flags: "-c, --container <name>", description: "which container, if the pod has several", complete: "container" },
    { flags: "-i, --stdin", description: "pass on what is typed or piped in" },
    { flags: "-t, --tty", description: "give the command a terminal" },
  ],
  outputs: [],
  examples: [
    { line: "gantry exec web -- ls -l /etc", does: "run one command" },
    { line: "gantry exec -it web -- sh", does: "a shell" },
    { line: "gantry exec -i web -- tar x < files.tar", does: "pipe something in" },
  ],
  run,
};

async function run({ args, flags, context }: Call): Promise<number> {
  const [podArgument = "", ...command] = args;
  if (!context.argv.includes("--")) {
    throw new GantryError("usage", "the command must stand after '--'", {
      hint: `gantry exec ${podArgument} -- ${command.join(" ")}`,
    });
  }
  const stdin = flags.on("stdin");
  let tty = flags.on("tty");
  if (tty && !(stdin && process.stdin.isTTY)) {
    context.out.note(stdin ? "Unable to use a terminal: the input is none." : "Unable to use a terminal without -i.");
    tty = false;
  }
  const client = await context.client();
  const pod = await findPod(client, context, podArgument);
  const { name: container, note } = chooseContainer(pod, flags.text("container"));
  if (note !== undefined) context.out.note(note);
  const session = await client.exec(namespaceOf(pod), pod.metadata.name, {
    command,
    container,
    stdin,
    tty,
    signal: context.signal,
  });
  return attachTerminal(session, tty);
}
