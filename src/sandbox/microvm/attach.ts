import { GantryError } from "../../system/errors.ts";
import { type AppInput, attachToApp, notRunning } from "../attach-app.ts";
import type { AttachRequest, ExecSession } from "../driver.ts";
import { SessionInput } from "./channel/input.ts";
import { type AgentLink, violation } from "./channel/link.ts";
import { isRefusal } from "./channel/push.ts";
import { noSuchContainer } from "./container.ts";
import type { Context } from "./context.ts";
import { containerFiles, sandboxFiles } from "./dirs.ts";
import { observeContainer } from "./list.ts";

const SIGHUP = 1;

/** See SandboxDriver.attach. Input and the terminal's size go to the agent. */
export async function attachToContainer(
  ctx: Context,
  sandboxId: string,
  id: string,
  request: AttachRequest,
  signal: AbortSignal,
): Promise<ExecSession> {
  const sandbox = await ctx.records.sandbox(sandboxFiles(ctx.dirs, sandboxId).record);
  const record = await ctx.records.container(containerFiles(ctx.dirs, sandboxId, id).record);
  const container = sandbox ? await observeContainer(ctx, sandbox, id) : undefined;
  if (!sandbox || !record || !container) throw noSuchContainer(sandboxId, id);
  if (container.state !== "running") throw notRunning(record.name);
  const access = {
    look: () => observeContainer(ctx, sandbox, id),
    subscribe: (listener: () => void) => ctx.machines.watch((changed) => changed === sandboxId && listener()),
    open: async (stdin: boolean): Promise<AppInput> => {
      if (!stdin && !record.tty) return { resize: () => {}, close: () => {} };
      return await openSession(await ctx.machines.get(sandboxId).guest.link(signal), id, record.name, stdin);
    },
  };
  return await attachToApp(record, access, request, signal);
}

/** @throws GantryError runtime-failed when it does not run any more; unsupported when it has too many clients */
export async function openSession(link: AgentLink, container: string, name: string, stdin: boolean): Promise<AppInput> {
  const session = link.newId();
  const input = stdin ? new SessionInput(link, session) : undefined;
  const end = (): void => void input?.destroy();
  const listener = {
    output: () => {
      throw violation("output where there can be none");
    },
    stdinCredit: (bytes: number) => input?.credit(bytes),
    exit: end,
    lost: end,
  };
  try {
    await link.begin({ type: "attach", body: { container, stdin } }, session, listener);
  } catch (error) {
    end();
    if (!isRefusal(error)) throw error;
    if (error.reply.code === "state" || error.reply.code === "unknown") throw notRunning(name);
    throw new GantryError("unsupported", `cannot attach to container ${name}: ${error.message}`, {
      hint: "Leave with Ctrl-P Ctrl-Q where you do not need it any more.",
      cause: error,
    });
  }
  return {
    ...(input === undefined ? {} : { stdin: input }),
    resize: (columns, rows) => link.send({ type: "execResize", body: { columns, rows } }, session),
    close: () => {
      link.send({ type: "execSignal", body: { signal: SIGHUP } }, session);
      end();
    },
  };
}
