import type { Duplex, Writable } from "node:stream";
import { isGantryError, messageOf } from "../../system/errors.ts";

/** Connects to a port of the pod. @throws GantryError */
export type Connect = (port: number, signal: AbortSignal) => Promise<Duplex>;

/**
 * Joins a client's data to a port of a pod, until either end is done with it: the app closes its connection, or the
 * client gives up. An end of the client's data is passed on, and the app may still answer. What goes wrong is told on
 * `error`, which is ended in any case.
 */
export async function forward(data: Duplex, error: Writable, port: number, connect: Connect): Promise<void> {
  const gone = new AbortController();
  const onClose = (): void => gone.abort();
  data.once("close", onClose);
  if (data.destroyed) onClose();
  try {
    const target = await connect(port, gone.signal);
    if (gone.signal.aborted) target.destroy();
    else await join(data, target);
  } catch (failure) {
    if (!gone.signal.aborted && error.writable) error.write(`${sentenceOf(failure, port)}\n`);
  }
  data.off("close", onClose);
  error.end();
  data.end();
  data.resume();
}

/** Resolves when the app has closed its connection, and everything of it is sent, or when one of the two is broken. */
function join(data: Duplex, target: Duplex): Promise<void> {
  return new Promise((resolve) => {
    const onGone = (): void => void target.destroy();
    target.on("error", () => {}); // as an end
    data.once("close", onGone);
    data.pipe(target);
    target.pipe(data, { end: false });
    target.once("end", () => target.destroy());
    target.once("close", () => {
      data.unpipe(target);
      data.off("close", onGone);
      resolve();
    });
  });
}

function sentenceOf(failure: unknown, port: number): string {
  const hint = isGantryError(failure) && failure.hint !== undefined ? ` (${failure.hint})` : "";
  return `error forwarding port ${port}: ${messageOf(failure)}${hint}`;
}
