import { spawn } from "node:child_process";
import { type FileHandle, open } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";
import { GantryError } from "../../system/errors.ts";
import { attachOutput } from "../attach-output.ts";
import type { AttachRequest, ExecSession } from "../driver.ts";
import { tellConmon } from "./conmon-control.ts";
import { noSuchContainer } from "./container.ts";
import type { Context } from "./context.ts";
import { type ContainerFiles, containerFiles, sandboxFiles } from "./dirs.ts";
import type { ExitWatcher } from "./exits.ts";
import { observeContainer } from "./list.ts";
import type { ContainerRecord } from "./records.ts";
import { findBinary } from "./runtime.ts";

/** Exits are told of; this is for those that were missed. ms */
const POLL_MS = 1000;
/** conmon reads messages of up to 32 KiB from its socket. */
const MESSAGE_BYTES = 8192;

/**
 * See SandboxDriver.attach. Output comes from the log, which conmon writes anyway; input goes through conmon's socket,
 * of a kind (SOCK_SEQPACKET) that Node.js does not speak: socat does.
 */
export async function attachToContainer(
  ctx: Context,
  exits: ExitWatcher,
  sandboxId: string,
  id: string,
  request: AttachRequest,
  signal: AbortSignal,
): Promise<ExecSession> {
  const files = containerFiles(ctx.dirs, sandboxId, id);
  const sandbox = await ctx.records.sandbox(sandboxFiles(ctx.dirs, sandboxId).record);
  const record = await ctx.records.container(files.record);
  const container = sandbox ? await observeContainer(ctx, sandbox, id) : undefined;
  if (!sandbox || !record || !container) throw noSuchContainer(sandboxId, id);
  if (container.state !== "running") {
    throw new GantryError("runtime-failed", `container ${record.name} is not running`, {
      hint: "Wait until it runs, or see 'gantry describe' for why it does not.",
      details: { reason: "NotRunning" },
    });
  }
  if (request.stdin) requireStdin(record);
  if (signal.aborted) throw new GantryError("cancelled", "attach was cancelled", { kind: "system" });

  const gone = new AbortController();
  const letGo = (): void => gone.abort();
  signal.addEventListener("abort", letGo, { once: true });
  let ended = false;
  const output = await attachOutput({ path: record.logPath, tty: record.tty }, () => !ended, gone.signal);
  const input = request.stdin ? await openInput(files) : undefined;
  if (gone.signal.aborted) input?.close();
  gone.signal.addEventListener("abort", () => input?.close(), { once: true });
  const exitCode = async (): Promise<number> => {
    try {
      const code = await endOf(() => observeContainer(ctx, sandbox, id), exits, id, gone.signal);
      ended = true;
      await output.done;
      return code;
    } finally {
      signal.removeEventListener("abort", letGo);
      gone.abort();
    }
  };
  const exit = exitCode();
  exit.catch(() => {}); // whoever asks for the code sees it; nobody has to
  return {
    ...(input === undefined ? {} : { stdin: input.stdin }),
    stdout: output.stdout,
    ...(output.stderr === undefined ? {} : { stderr: output.stderr }),
    resize: (columns, rows) => {
      if (record.tty && !gone.signal.aborted) void resize(files, columns, rows);
    },
    exitCode: exit,
    kill: letGo,
  };
}

/** @throws GantryError conflict */
export function requireStdin({ name, stdin }: Pick<ContainerRecord, "name" | "stdin">): void {
  if (stdin !== "closed") return;
  throw new GantryError("conflict", `container ${name} has no stdin`, {
    hint: "Set stdin: true in its manifest, or attach without input.",
  });
}

/** The app's exit code; 137 for one that was lost, or that was let go of before it ended. */
async function endOf(
  look: () => ReturnType<typeof observeContainer>,
  exits: ExitWatcher,
  id: string,
  gone: AbortSignal,
): Promise<number> {
  for (;;) {
    const { promise: told, resolve } = Promise.withResolvers<void>();
    const unsubscribe = exits.subscribe((ended) => ended === id && resolve());
    try {
      const container = await look(); // after subscribing, so that no end is missed
      if (container === undefined || container.state === "unknown") return 137;
      if (container.state === "exited") return container.exitCode ?? 137;
      if (gone.aborted) return 137;
      const timer = new AbortController();
      const stop = AbortSignal.any([timer.signal, gone]);
      await Promise.race([told, delay(POLL_MS, undefined, { signal: stop }).catch(() => {})]);
      timer.abort();
    } finally {
      unsubscribe();
    }
  }
}

/** By its directory: the whole path may be longer than a socket's address can be (108 bytes). */
async function openInput(files: ContainerFiles): Promise<{ stdin: NonNullable<ExecSession["stdin"]>; close(): void }> {
  const socat = findBinary("socat");
  if (socat === undefined) {
    throw new GantryError("command-missing", "socat is not installed: it passes input on to a container", {
      hint: "Install it: apt-get install socat. Attaching without input needs nothing.",
    });
  }
  const directory: FileHandle = await open(files.root, "r");
  try {
    const address = "UNIX-CONNECT:/proc/self/fd/3/attach,type=5";
    const child = spawn(socat, ["-b", String(MESSAGE_BYTES), "-", address], {
      stdio: ["pipe", "ignore", "ignore", directory.fd],
    });
    child.on("error", () => {}); // what is typed goes nowhere; the app's end tells the rest
    const { stdin } = child;
    if (stdin === null) throw new GantryError("internal", "no pipe to socat");
    stdin.on("error", () => {}); // the app, or its input, has ended
    return { stdin, close: () => void child.kill("SIGKILL") };
  } finally {
    await directory.close();
  }
}

/** conmon's control message for the size of the terminal: type 1, rows, columns. */
async function resize(files: ContainerFiles, columns: number, rows: number): Promise<void> {
  await tellConmon(files, `1 ${Math.max(1, rows)} ${Math.max(1, columns)}\n`).catch(() => {});
}
