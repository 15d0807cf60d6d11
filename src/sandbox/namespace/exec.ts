import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { readFile, rm, writeFile } from "node:fs/promises";
import { constants } from "node:os";
import { join } from "node:path";
import { z } from "zod";
import { GantryError } from "../../system/errors.ts";
import type { ExecRequest, ExecSession } from "../driver.ts";
import { noSuchContainer } from "./container.ts";
import type { Context } from "./context.ts";
import { containerFiles, sandboxFiles } from "./dirs.ts";
import { outputInLog } from "./exec-rest.ts";
import { execOnTerminal } from "./exec-tty.ts";
import { observeContainer } from "./list.ts";
import { killTree } from "./process-tree.ts";
import { cleanRuntimeMessage } from "./runtime-errors.ts";

/** One running exec, whichever way it is attached. */
export interface ExecLaunch {
  readonly runtime: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly signal: AbortSignal;
  /** Has the pid of the command, as the host sees it, once it runs. */
  readonly pidFile: string;
  /** Kills what runs in the container; the runtime then ends by itself. */
  readonly killInside: () => void;
  /**
   * Turns the runtime's exit code into the command's, and cleans up. `takeRest` gets what a terminal has not shown:
   * output that the runtime did not pass on, or why it could not start the command. @throws GantryError runtime-failed
   */
  readonly finish: (exitCode: number, takeRest?: (output: Buffer) => void) => Promise<number>;
}

/** See SandboxDriver.exec. */
export async function execInContainer(
  ctx: Context,
  sandboxId: string,
  id: string,
  request: ExecRequest,
  signal: AbortSignal,
): Promise<ExecSession> {
  const sandbox = await ctx.records.sandbox(sandboxFiles(ctx.dirs, sandboxId).record);
  const container = sandbox ? await observeContainer(ctx, sandbox, id) : undefined;
  if (!sandbox || !container) throw noSuchContainer(sandboxId, id);
  if (container.state !== "running") {
    throw new GantryError("runtime-failed", `container ${container.name} is not running`, {
      hint: "Wait until it runs, or see 'gantry describe' for why it does not.",
      details: { reason: "NotRunning" },
    });
  }
  if (signal.aborted) throw new GantryError("cancelled", "exec was cancelled", { kind: "system" });
  const runtime = ctx.runtimes.at(sandbox.runtime);
  const files = containerFiles(ctx.dirs, sandboxId, id);
  const base = join(files.root, `exec-${randomBytes(6).toString("hex")}`);
  const paths = { process: `${base}.json`, pid: `${base}.pid`, log: `${base}.log` };
  await writeFile(paths.process, JSON.stringify(execProcess(readFileSync(files.spec, "utf8"), request)), {
    mode: 0o600,
  });
  let killed = false;
  const launch: ExecLaunch = {
    runtime: runtime.path,
    args: [
      ...["--root", runtime.root, "--log", paths.log, "--log-format", "json"],
      ...["exec", "--process", paths.process, "--pid-file", paths.pid, ...(request.tty ? ["--tty"] : []), id],
    ],
    env: { PATH: process.env["PATH"] ?? "/usr/sbin:/usr/bin:/sbin:/bin", LANG: "C", TERM: "xterm" },
    signal,
    pidFile: paths.pid,
    killInside: () => {
      killed = true;
      killFromPidFile(paths.pid);
    },
    finish: async (exitCode, takeRest) => {
      if (killed) killFromPidFile(paths.pid); // it may have been started just after
      const log = await readFile(paths.log).catch(() => Buffer.alloc(0));
      const rest = takeRest === undefined ? undefined : outputInLog(log);
      if (rest !== undefined) takeRest?.(rest);
      const said = rest === undefined ? messagesOf(log.toString("utf8")) : "";
      await Promise.all(Object.values(paths).map((path) => rm(path, { force: true })));
      // On a terminal there is no other stream on which the runtime would say it.
      if (said !== "") takeRest?.(Buffer.from(`${cleanRuntimeMessage(said)}\r\n`));
      return killed ? 128 + constants.signals.SIGKILL : commandExitCode(exitCode, said, request.command[0] ?? "");
    },
  };
  return request.tty ? await execOnTerminal(launch, request) : execWithPipes(launch, request);
}

function execWithPipes(launch: ExecLaunch, request: ExecRequest): ExecSession {
  const child = spawn(launch.runtime, launch.args, {
    env: launch.env,
    detached: true,
    stdio: [request.stdin ? "pipe" : "ignore", "pipe", "pipe"],
  });
  const { stdin, stdout, stderr } = child;
  if (stdout === null || stderr === null) throw new GantryError("internal", "no pipes to the OCI runtime");
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  const kill = (): void => {
    launch.killInside();
    if (child.pid !== undefined) killTree(child.pid);
  };
  launch.signal.addEventListener("abort", kill, { once: true });
  stdin?.on("error", () => {}); // the command does not read to the end
  child.on("error", (cause) => reject(new GantryError("runtime-failed", `cannot run ${launch.runtime}`, { cause })));
  child.on("close", (code, signal) => {
    launch.signal.removeEventListener("abort", kill);
    launch.finish(code ?? 128 + (signal === null ? 0 : constants.signals[signal])).then(resolve, reject);
  });
  promise.catch(() => {}); // whoever asks for the code sees it; nobody has to
  return { ...(stdin === null ? {} : { stdin }), stdout, stderr, resize: () => {}, exitCode: promise, kill };
}

const specSchema = z.looseObject({ process: z.looseObject({}) });

/** The app's own process (user, environment, capabilities, no_new_privs …) with another command. */
export function execProcess(spec: string, request: ExecRequest): unknown {
  const { process } = specSchema.parse(JSON.parse(spec));
  return { ...process, args: request.command, terminal: request.tty };
}

const logLine = z.looseObject({ msg: z.string(), level: z.string().optional() });

/** What a runtime logged as errors, with --log-format json. */
function messagesOf(log: string): string {
  return log
    .split("\n")
    .filter(Boolean)
    .map((line) => {
      try {
        const { msg, level } = logLine.parse(JSON.parse(line));
        return level === "warning" || level === "debug" || level === "info" ? "" : msg;
      } catch {
        return line;
      }
    })
    .filter(Boolean)
    .join("\n");
}

/** 127 for a command that is not there and 126 for one that may not be run, as a shell has it. */
function commandExitCode(exitCode: number, said: string, command: string): number {
  if (said === "" || exitCode === 0) return exitCode;
  const message = cleanRuntimeMessage(said);
  if (/executable file.*not found|no such file or directory/i.test(message)) return 127;
  if (/permission denied|is a directory|exec format error/i.test(message)) return 126;
  // crun logs it too when the command ends with a code; that is no failure of its own
  if (exitCode !== 255 && exitCode !== 1) return exitCode;
  throw new GantryError("runtime-failed", `cannot run ${command} in the container: ${message}`, {
    kind: "system",
    details: { reason: "ExecError", said: message },
  });
}

function killFromPidFile(path: string): void {
  try {
    const pid = Number(readFileSync(path, "utf8"));
    if (pid > 1) killTree(pid);
  } catch {
    // not started yet, or over
  }
}
