import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { run } from "../../../src/cli/program.ts";

export interface Result {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a command line inside this process: quick, for everything but signals, pipes and exits. */
export async function cli(args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<Result> {
  const stdout = new TextSink();
  const stderr = new TextSink();
  const code = await run(args, env, { stdout, stderr });
  return { code, stdout: stdout.text, stderr: stderr.text };
}

class TextSink {
  text = "";
  write(chunk: string | Uint8Array): boolean {
    this.text += typeof chunk === "string" ? chunk : Buffer.from(chunk).toString();
    return true;
  }
}

export const MAIN = fileURLToPath(new URL("../../../src/cli/main.ts", import.meta.url));

export interface SpawnOptions {
  readonly input?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Called with what was printed so far, and how to send a signal. */
  readonly onStdout?: (text: string, kill: (signal: NodeJS.Signals) => void) => void;
  /** Closes the reading end of stdout after the first bytes, as `head` does. */
  readonly closeStdout?: boolean;
}

/** Runs the real command, as a process of its own. */
export function spawnCli(
  args: readonly string[],
  options: SpawnOptions = {},
): Promise<Result & { signal: string | null }> {
  const child = spawn(process.execPath, [MAIN, ...args], {
    env: { PATH: process.env["PATH"] ?? "", HOME: process.env["HOME"] ?? "/", ...options.env },
    stdio: ["pipe", "pipe", "pipe"],
  });
  let stdout = "";
  let stderr = "";
  child.stdout.on("data", (chunk: Buffer) => {
    stdout += chunk.toString();
    if (options.closeStdout === true) child.stdout.destroy();
    options.onStdout?.(stdout, (signal) => child.kill(signal));
  });
  child.stderr.on("data", (chunk: Buffer) => {
    stderr += chunk.toString();
  });
  child.stdin.on("error", () => {
    // it ended without reading everything
  });
  child.stdin.end(options.input ?? "");
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code, signal) => resolve({ code: code ?? -1, signal, stdout, stderr }));
  });
}
