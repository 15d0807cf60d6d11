import { PassThrough } from "node:stream";
import type { ExecRequest, ExecSession } from "../driver.ts";
import type { MemoryContainer } from "./world.ts";

/** A command in a pretended container: what it gives is up to the container's behaviour. */
export function execInMemory(container: MemoryContainer, request: ExecRequest, signal: AbortSignal): ExecSession {
  const stdout = new PassThrough();
  const stderr = request.tty ? undefined : new PassThrough();
  const stdin = request.stdin ? new PassThrough() : undefined;
  const { promise, resolve } = Promise.withResolvers<number>();
  let ended = false;
  const end = (code: number): void => {
    if (ended) return;
    ended = true;
    signal.removeEventListener("abort", kill);
    container.onExit.delete(kill);
    stdout.end();
    stderr?.end();
    resolve(code);
  };
  const kill = (): void => end(137);
  const run = (input: string): void => {
    if (ended) return;
    const outcome = container.behaviour.exec?.(request.command, input) ?? { exitCode: 0 };
    if (outcome.stdout) stdout.write(outcome.stdout);
    if (outcome.stderr) (stderr ?? stdout).write(outcome.stderr);
    if (outcome.exitCode !== "running") end(outcome.exitCode);
  };
  signal.addEventListener("abort", kill, { once: true });
  container.onExit.add(kill);
  if (stdin === undefined) {
    queueMicrotask(() => run(""));
  } else {
    let input = "";
    stdin.on("data", (chunk: Buffer) => {
      input += chunk.toString("utf8");
    });
    stdin.on("end", () => run(input));
  }
  return {
    ...(stdin === undefined ? {} : { stdin }),
    stdout,
    ...(stderr === undefined ? {} : { stderr }),
    resize: () => {},
    exitCode: promise,
    kill,
  };
}
