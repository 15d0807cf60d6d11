import type { Writable } from "node:stream";
import { setTimeout as delay } from "node:timers/promises";
import { GantryError } from "../system/errors.ts";
import { attachOutput } from "./attach-output.ts";
import type { AttachRequest, ContainerConfig, ExecSession, ObservedContainer } from "./driver.ts";

/** Ends are told of; this is for those that were missed. ms */
const POLL_MS = 1000;

export type App = Pick<ContainerConfig, "name" | "logPath" | "stdin" | "tty">;

/** A client's way to the app's stdin and terminal. */
export interface AppInput {
  readonly stdin?: Writable;
  /** Of the terminal of an app that has one. */
  resize(columns: number, rows: number): void;
  /** The client leaves. */
  close(): void;
}

/** How a driver reaches an app. */
export interface AppAccess {
  look(): Promise<ObservedContainer | undefined>;
  /** Calls back when it may have ended. @returns a function that ends it */
  subscribe(listener: () => void): () => void;
  /** @param stdin whether the client has input */
  open(stdin: boolean): Promise<AppInput>;
}

/** See SandboxDriver.attach. Output comes from the log, which is written anyway; each driver has its own way in. */
export async function attachToApp(
  app: App,
  access: AppAccess,
  request: AttachRequest,
  signal: AbortSignal,
): Promise<ExecSession> {
  if (request.stdin) requireStdin(app);
  if (signal.aborted) throw new GantryError("cancelled", "attach was cancelled", { kind: "system" });
  const gone = new AbortController();
  const letGo = (): void => gone.abort();
  signal.addEventListener("abort", letGo, { once: true });
  let ended = false;
  const output = await attachOutput({ path: app.logPath, tty: app.tty }, () => !ended, gone.signal);
  let input: AppInput | undefined;
  try {
    input = await access.open(request.stdin);
  } catch (error) {
    letGo();
    throw error;
  }
  const { stdin, resize, close } = input;
  if (gone.signal.aborted) close();
  else gone.signal.addEventListener("abort", close, { once: true });
  const exitCode = async (): Promise<number> => {
    try {
      const code = await endOf(access, gone.signal);
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
    ...(stdin === undefined ? {} : { stdin }),
    stdout: output.stdout,
    ...(output.stderr === undefined ? {} : { stderr: output.stderr }),
    resize: (columns, rows) => {
      if (app.tty && !gone.signal.aborted) resize(columns, rows);
    },
    exitCode: exit,
    kill: letGo,
  };
}

/** @throws GantryError runtime-failed */
export function notRunning(name: string): GantryError {
  return new GantryError("runtime-failed", `container ${name} is not running`, {
    hint: "Wait until it runs, or see 'gantry describe' for why it does not.",
    details: { reason: "NotRunning" },
  });
}

/** @throws GantryError conflict */
function requireStdin({ name, stdin }: App): void {
  if (stdin !== "closed") return;
  throw new GantryError("conflict", `container ${name} has no stdin`, {
    hint: "Set stdin: true in its manifest, or attach without input.",
  });
}

/** The app's exit code; 137 for one that was lost, or that was let go of before it ended. */
async function endOf({ look, subscribe }: AppAccess, gone: AbortSignal): Promise<number> {
  for (;;) {
    const { promise: told, resolve } = Promise.withResolvers<void>();
    const unsubscribe = subscribe(resolve);
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
