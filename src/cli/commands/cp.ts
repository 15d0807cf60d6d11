import { lstat, stat } from "node:fs/promises";
import { join, resolve } from "node:path";
import type { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { ApiClient } from "../../api/client.ts";
import type { PodObject } from "../../api/contract.ts";
import type { ExecSession } from "../../sandbox/driver.ts";
import { errnoOf, GantryError, messageOf } from "../../system/errors.ts";
import type { Context } from "../context.ts";
import { pack } from "../copy/pack.ts";
import { parsePlace, split } from "../copy/place.ts";
import { type Unpacked, unpack } from "../copy/unpack.ts";
import { EXIT } from "../exit.ts";
import { withProgress } from "../output/progress.ts";
import { count, oneLine, printable } from "../output/text.ts";
import { chooseContainer, findPod, keyOfPod, namespaceOf } from "../pods.ts";
import type { Call, CommandSpec } from "../spec.ts";

export const cp: CommandSpec = {
  summary: "Copy files into a container, or out of one",
  description:
    "Copies a file or a directory with all that is in it, as 'cp -r' does: into a directory that is there, else under\n" +
    "the name that is given; of DIR/. what is in it. The container must have tar. Links are copied as links; of what\n" +
    "comes out of a container, those that lead out of it are left out.",
  arguments: [
    { syntax: "<from>", description: "PATH here, or POD:PATH", complete: "pod" },
    { syntax: "<to>", description: "the same; one of the two is in a pod", complete: "pod" },
  ],
  options: [
    { flags: "-c, --container <name>", description: "which container, if the pod has several", complete: "container" },
  ],
  outputs: [],
  examples: [
    { line: "gantry cp web:/etc/nginx/nginx.conf .", does: "a file out of a container" },
    { line: "gantry cp ./site/. web:/usr/share/nginx/html", does: "what is in a directory, into one" },
    { line: "gantry cp shop/db:/var/lib/data ./backup -c app", does: "of a namespace, a container, under a new name" },
  ],
  run,
};

async function run({ args, flags, context }: Call): Promise<number> {
  const [from, to] = [parsePlace(args[0] ?? ""), parsePlace(args[1] ?? "")];
  if (args.length !== 2) throw usage("it takes what to copy, and where to");
  if (from.type === to.type)
    throw usage(from.type === "here" ? "neither of the two is in a pod" : "both of the two are in pods");
  const client = await context.client();
  const remote = from.type === "pod" ? from : to;
  const pod = await findPod(client, context, remote.type === "pod" ? remote.pod : "");
  const { name: container, note } = chooseContainer(pod, flags.text("container"));
  if (note !== undefined) context.out.note(note);
  const there: There = { client, pod, container, signal: context.signal };
  const leftOut =
    from.type === "pod" ? await copyOut(there, from.path, to.path, context) : await copyIn(there, from.path, to.path);
  for (const what of leftOut) context.out.note(`left out ${oneLine(what)}`);
  return leftOut.length === 0 ? EXIT.ok : EXIT.failed;
}

interface There {
  readonly client: ApiClient;
  readonly pod: PodObject;
  readonly container: string;
  readonly signal: AbortSignal;
}

/** @returns what was left out */
async function copyOut(there: There, from: string, to: string, { out }: Context): Promise<readonly string[]> {
  const { parent, name } = split(from);
  const whole = await stat(to).catch(absent);
  if (to.endsWith("/") && whole?.isDirectory() !== true)
    throw new GantryError("not-found", `there is no directory ${to}`, { hint: "Make it first, or leave the '/' out." });
  const target = whole?.isDirectory() === true && name !== undefined ? join(to, name) : to;
  if ((await stat(resolve(target, "..")).catch(absent))?.isDirectory() !== true)
    throw new GantryError("not-found", `there is no directory ${resolve(target, "..")}`, { hint: "Make it first." });
  const session = await exec(there, ["tar", "cf", "-", "-C", parent, `./${name ?? ""}`], false);
  const said = textOf(session.stderr);
  const unpacking = unpack(session.stdout, name, target).catch((error: unknown) => {
    // An archive that breaks off is explained by what tar says of it, unless it is this end that can't take it.
    session.kill();
    throw error;
  });
  const [unpacked, exitCode] = await withProgress(`Copying ${from}`, Promise.allSettled([unpacking, session.exitCode]));
  if (unpacked.status === "rejected" && unpacked.reason instanceof GantryError) throw unpacked.reason;
  await checkExit(there, exitCode, said, from);
  const { files, leftOut } = settled<Unpacked>(unpacked, there, from);
  if (files === 0 && leftOut.length > 0) throw nothingCopied(from, leftOut);
  out.line(`copied ${count(files, "file")} to ${target}`);
  return leftOut;
}

/** @returns what was left out */
async function copyIn(there: There, from: string, to: string): Promise<readonly string[]> {
  const found = await lstat(from).catch(absent);
  if (found === undefined) throw new GantryError("not-found", `there is no ${from}`, { hint: "Look with 'ls'." });
  const source = split(from);
  if (source.name === undefined && !found.isDirectory()) throw usage(`${from} is no directory`);
  // What 'test -d' says, as kubectl asks it.
  const isDirectory = (await exitOf(there, ["test", "-d", to])) === 0;
  const goal = isDirectory || source.name === undefined ? { parent: to, name: source.name } : split(to);
  if (!isDirectory && (to.endsWith("/") || source.name === undefined))
    throw new GantryError("not-found", `there is no directory ${to} in container ${there.container}`, {
      hint: `Make it first: gantry exec ${keyOfPod(there.pod)} -c ${there.container} -- mkdir -p ${to}`,
    });
  const leftOut: string[] = [];
  const archive = pack(from, found.isDirectory(), goal.name, (what) => leftOut.push(what));
  const session = await exec(there, ["tar", "xof", "-", "-C", goal.parent], true);
  const said = textOf(session.stderr);
  session.stdout.resume();
  const sending = session.stdin === undefined ? Promise.resolve() : pipeline(archive, session.stdin);
  const [sent, exitCode] = await withProgress(`Copying ${from}`, Promise.allSettled([sending, session.exitCode]));
  if (sent.status === "rejected" && sent.reason instanceof GantryError) throw sent.reason;
  await checkExit(there, exitCode, said, to);
  return leftOut;
}

async function exec({ client, pod, container, signal }: There, command: readonly string[], stdin: boolean) {
  try {
    const namespace = namespaceOf(pod);
    return await client.exec(namespace, pod.metadata.name, { command, container, stdin, tty: false, signal });
  } catch (error) {
    throw explained(error, command[0] ?? "", container);
  }
}

async function exitOf(there: There, command: readonly string[]): Promise<number> {
  const session = await exec(there, command, false);
  for (const stream of [session.stdout, session.stderr]) stream?.resume();
  return session.exitCode;
}

async function textOf(stream: Readable | undefined): Promise<string> {
  let text = "";
  for await (const chunk of stream ?? []) if (text.length < 8192) text += String(chunk);
  return text;
}

/** @throws GantryError for a tar that could not be run, or failed */
async function checkExit(
  { container }: There,
  exitCode: PromiseSettledResult<Awaited<ExecSession["exitCode"]>>,
  said: Promise<string>,
  path: string,
): Promise<void> {
  if (exitCode.status === "rejected") throw explained(exitCode.reason, "tar", container);
  if (exitCode.value === 0) return;
  const words = printable(await said.catch(() => "")).trim();
  if (/No such file|[Cc]an't (open|stat|change)|[Cc]annot (open|stat)/.test(words) && /No such file/.test(words))
    throw new GantryError("not-found", `there is no ${path} in container ${container}: ${words}`);
  throw new GantryError("command-failed", `tar in container ${container} failed (${exitCode.value}): ${words}`, {
    hint: "What has come so far stays.",
  });
}

/** @throws GantryError: an archive that is none */
function settled<T>(result: PromiseSettledResult<T>, { container }: There, path: string): T {
  if (result.status === "fulfilled") return result.value;
  throw new GantryError(
    "command-failed",
    `what container ${container} sent of ${path} is no archive: ${messageOf(result.reason)}`,
    {
      hint: "Is its tar a real one? What has come so far stays.",
      cause: result.reason,
    },
  );
}

function explained(error: unknown, program: string, container: string): unknown {
  if (!(error instanceof GantryError) || error.code !== "runtime-failed") return error;
  return new GantryError(
    "unsupported",
    `container ${container} can't run '${program}', which copying needs: ${error.message}`,
    {
      cause: error,
      hint: "Copy by way of another container of the pod that has it, or of a volume that both mount.",
    },
  );
}

function nothingCopied(from: string, leftOut: readonly string[]): GantryError {
  return new GantryError("unsupported", `nothing of ${from} could be copied: ${oneLine(leftOut[0] ?? "")}`, {
    hint: "Name what the link leads to.",
  });
}

function usage(why: string): GantryError {
  return new GantryError("usage", why, {
    hint: "For example: gantry cp web:/etc/hosts ., or gantry cp ./file web:/tmp",
  });
}

function absent(error: unknown): undefined {
  if (errnoOf(error) === "ENOENT" || errnoOf(error) === "ENOTDIR") return undefined;
  throw error;
}
