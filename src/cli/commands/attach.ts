import type { PodObject } from "../../api/contract.ts";
import type { ExecSession } from "../../sandbox/driver.ts";
import { DETACH_HELP, detachKeys } from "../detach-keys.ts";
import { chooseContainer, findPod, namespaceOf } from "../pods.ts";
import type { Call, CommandSpec } from "../spec.ts";
import { attachTerminal } from "../terminal.ts";

export const attach: CommandSpec = {
  summary: "Join the app of a container",
  description: `Shows what the app of a running container prints from now on, and with -i passes on what is typed, if its
manifest has stdin: true. Ends with the app, and with its exit code; ${DETACH_HELP} leaves it running, and so does
Ctrl-C where the app has no terminal.`,
  arguments: [{ syntax: "<pod>", description: "NAME, NAMESPACE/NAME or pod/NAME", complete: "pod" }],
  options: [
    { flags: "-c, --container <name>", description: "which container, if the pod has several", complete: "container" },
    { flags: "-i, --stdin", description: "pass on what is typed or piped in" },
    { flags: "-t, --tty", description: "the app has a terminal (tty: true in its manifest): hand over this one" },
  ],
  outputs: [],
  examples: [
    { line: "gantry attach web", does: "watch what it prints" },
    { line: "gantry attach -it shell", does: "type into an app that has a terminal" },
    { line: "gantry attach -i filter < lines.txt", does: "pipe something in" },
  ],
  run,
};

async function run({ args, flags, context }: Call): Promise<number> {
  const client = await context.client();
  const pod = await findPod(client, context, args[0] ?? "");
  const { name: container, note } = chooseContainer(pod, flags.text("container"));
  if (note !== undefined) context.out.note(note);
  const spec = specOf(pod, container);
  const stdin = flags.on("stdin") && spec?.stdin === true;
  if (flags.on("stdin") && !stdin)
    context.out.note(`Unable to pass anything on: container ${container} has no stdin (set stdin: true).`);
  // An app with a terminal has one stream, whoever looks at it.
  const appHasTerminal = spec?.tty === true;
  if (flags.on("tty") && !appHasTerminal)
    context.out.note(`Unable to use a terminal: container ${container} has none (set tty: true).`);
  const session = await client.attach(namespaceOf(pod), pod.metadata.name, {
    container,
    stdin,
    tty: appHasTerminal,
    signal: context.signal,
  });
  const raw = flags.on("tty") && appHasTerminal && stdin && process.stdin.isTTY;
  if (!raw) return attachTerminal(session, false);
  context.out.note(`Joined ${container}; leave it with ${DETACH_HELP}.`);
  return onTerminal(session, () => context.out.note("\r\nLeft; it runs on."));
}

function specOf(pod: PodObject, name: string): { readonly stdin?: unknown; readonly tty?: unknown } | undefined {
  return [...pod.spec.containers, ...(pod.spec.initContainers ?? [])].find((container) => container.name === name);
}

async function onTerminal(session: ExecSession, left: () => void): Promise<number> {
  let detached = false;
  const keys = detachKeys(() => {
    detached = true;
    session.kill();
  });
  if (session.stdin !== undefined) keys.pipe(session.stdin);
  try {
    return await attachTerminal({ ...session, stdin: keys }, true);
  } catch (error) {
    if (!detached) throw error;
    left();
    return 0;
  }
}
