import { spawn } from "node:child_process";
import { type FileHandle, open } from "node:fs/promises";
import { GantryError } from "../../system/errors.ts";
import { type AppInput, attachToApp, notRunning } from "../attach-app.ts";
import type { AttachRequest, ExecSession } from "../driver.ts";
import { tellConmon } from "./conmon-control.ts";
import { noSuchContainer } from "./container.ts";
import type { Context } from "./context.ts";
import { type ContainerFiles, containerFiles, sandboxFiles } from "./dirs.ts";
import type { ExitWatcher } from "./exits.ts";
import { observeContainer } from "./list.ts";
import { findBinary } from "./runtime.ts";

/** conmon reads messages of up to 32 KiB from its socket. */
const MESSAGE_BYTES = 8192;

/**
 * See SandboxDriver.attach. Input goes through conmon's socket, of a kind (SOCK_SEQPACKET) that Node.js does not
 * speak: socat does.
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
  if (container.state !== "running") throw notRunning(record.name);
  const access = {
    look: () => observeContainer(ctx, sandbox, id),
    subscribe: (listener: () => void) => exits.subscribe((ended) => ended === id && listener()),
    open: async (stdin: boolean): Promise<AppInput> => ({
      resize: (columns, rows) => void resize(files, columns, rows),
      ...(stdin ? await openInput(files) : { close: () => {} }),
    }),
  };
  return await attachToApp(record, access, request, signal);
}

/** By its directory: the whole path may be longer than a socket's address can be (108 bytes). */
async function openInput(files: ContainerFiles): Promise<Pick<Required<AppInput>, "stdin" | "close">> {
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
