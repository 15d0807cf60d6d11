import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, openSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const MAIN = fileURLToPath(new URL("../../../src/cli/main.ts", import.meta.url));
const CHECKOUT = fileURLToPath(new URL("../../..", import.meta.url));

export interface CliResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface CliOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly input?: string | Buffer;
  /** Default 60,000 ms; then it is killed and the call throws. */
  readonly timeoutMs?: number;
  /** The `gantry` to run; default: the sources. */
  readonly launcher?: string | undefined;
}

/** As src/cli/gantry and npm start do it, so that what is measured is what users have. */
const NODE = [process.execPath, "--max-semi-space-size=1"] as const;

function commandLine(args: readonly string[], launcher: string | undefined): [string, string[]] {
  const [command, ...rest] = launcher === undefined ? [...NODE, MAIN] : ([launcher] as const);
  return [command, [...rest, ...args]];
}

/**
 * Where Node.js keeps what it has made of the sources, for the next process: thousands are started in a run, and each
 * would else strip the types of every file and compile it anew. Users' are compiled already.
 */
const COMPILED = join(tmpdir(), "gantry-test-compiled");

/** Our own environment without what would change how the CLI behaves. */
function environment(extra: Readonly<Record<string, string>> = {}): NodeJS.ProcessEnv {
  const own = Object.entries(process.env).filter(([name]) => !name.startsWith("GANTRY_") && !name.startsWith("VITEST"));
  return { ...Object.fromEntries(own), NO_COLOR: "1", NODE_COMPILE_CACHE: COMPILED, ...extra };
}

/** Runs `gantry ARGS` to its end, through the real command line. */
export function runCli(args: readonly string[], options: CliOptions = {}): Promise<CliResult> {
  return new Promise((resolve, reject) => {
    const child = startCli(args, options);
    const out: Buffer[] = [];
    const err: Buffer[] = [];
    child.stdout?.on("data", (chunk: Buffer) => out.push(chunk));
    child.stderr?.on("data", (chunk: Buffer) => err.push(chunk));
    child.stdin?.on("error", () => {
      // it ended without reading its input
    });
    child.stdin?.end(options.input ?? "");
    const timeoutMs = options.timeoutMs ?? 60_000;
    const timer = setTimeout(() => {
      child.kill("SIGKILL");
      reject(
        new Error(`gantry ${args.join(" ")} did not end within ${timeoutMs} ms\n${Buffer.concat([...out, ...err])}`),
      );
    }, timeoutMs);
    child.on("error", reject);
    child.on("close", (code, signal) => {
      clearTimeout(timer);
      const stdout = Buffer.concat(out).toString("utf8");
      const stderr = Buffer.concat(err).toString("utf8");
      resolve({ code: code ?? (signal === null ? -1 : 128), stdout, stderr });
    });
  });
}

/** Starts `gantry ARGS` with pipes, for commands that go on (logs -f, status -w, exec -i). End it yourself. */
export function startCli(args: readonly string[], options: CliOptions = {}): ChildProcess {
  const [command, words] = commandLine(args, options.launcher);
  return spawn(command, words, { cwd: CHECKOUT, env: environment(options.env), stdio: "pipe" });
}

/** A daemon in the background; what it prints goes to a file, so that it never waits for a reader. */
export interface DaemonProcess {
  readonly pid: number;
  readonly logFile: string;
  /** Everything that it has printed. */
  log(): string;
  /** The exit code, or 128 when a signal ended it; undefined while it runs. */
  exitCode(): number | undefined;
  /** Sends `signal` and waits for its end. */
  stop(signal?: NodeJS.Signals): Promise<number>;
}

/** @param main a program of the tests that runs a daemon, instead of `gantry daemon` */
export function spawnDaemon(
  args: readonly string[],
  logFile: string,
  options: Pick<CliOptions, "env" | "launcher"> & { readonly main?: string | undefined } = {},
): DaemonProcess {
  const log = openSync(logFile, "a");
  const [command, ...words] =
    options.main === undefined
      ? commandLine(["daemon", ...args], options.launcher).flat()
      : [...NODE, options.main, ...args];
  if (command === undefined) throw new Error("no command");
  const child = spawn(command, words, {
    cwd: CHECKOUT,
    env: environment(options.env),
    stdio: ["ignore", log, log],
  });
  closeSync(log);
  let exitCode: number | undefined;
  const ended = new Promise<number>((resolve) => {
    const done = (code: number): void => {
      exitCode = code;
      resolve(code);
    };
    child.on("error", () => done(-1));
    child.on("exit", (code) => done(code ?? 128));
  });
  return {
    pid: child.pid ?? -1,
    logFile,
    log: () => readFileSync(logFile, "utf8"),
    exitCode: () => exitCode,
    stop: (signal = "SIGTERM") => {
      child.kill(signal);
      return ended;
    },
  };
}
