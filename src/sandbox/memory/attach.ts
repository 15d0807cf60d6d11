import { PassThrough } from "node:stream";
import { GantryError } from "../../system/errors.ts";
import type { AttachRequest, ExecSession } from "../driver.ts";
import type { MemoryContainer } from "./world.ts";

/**
 * Joins a pretended app. One that `copiesStdin` prints what any client types to every client, and ends by itself with
 * its input.
 * @param endApp ends the app with code 0
 */
export function attachInMemory(
  container: MemoryContainer,
  request: AttachRequest,
  signal: AbortSignal,
  endApp: () => void,
): ExecSession {
  const { config, clients, behaviour } = container;
  if (request.stdin && config.stdin === "closed") {
    throw new GantryError("conflict", `container ${config.name} has no stdin`, {
      hint: "Set stdin: true in its manifest, or attach without input.",
    });
  }
  const stdout = new PassThrough();
  const stderr = config.tty ? undefined : new PassThrough();
  const stdin = request.stdin ? new PassThrough() : undefined;
  const { promise: exitCode, resolve } = Promise.withResolvers<number>();
  const leave = (code: number): void => {
    signal.removeEventListener("abort", kill);
    container.onExit.delete(onExit);
    clients.delete(stdout);
    stdout.end();
    stderr?.end();
    resolve(code);
  };
  const inputEnded = (): void => {
    if (config.stdin === "once" && behaviour.copiesStdin === true) endApp();
  };
  const onExit = (): void => leave(container.exitCode ?? 137);
  const kill = (): void => {
    leave(137);
    if (request.stdin) inputEnded();
  };
  clients.add(stdout);
  container.onExit.add(onExit);
  signal.addEventListener("abort", kill, { once: true });
  stdin?.on("data", (chunk: Buffer) => {
    if (behaviour.copiesStdin === true) for (const client of clients) client.write(chunk);
  });
  stdin?.on("end", inputEnded);
  return {
    ...(stdin === undefined ? {} : { stdin }),
    stdout,
    ...(stderr === undefined ? {} : { stderr }),
    resize: () => {},
    exitCode,
    kill,
  };
}
