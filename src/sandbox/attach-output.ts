/** What an app prints from now on, out of its CRI log: the app is never held up by a client that does not read. */
import { once } from "node:events";
import { PassThrough, type Readable } from "node:stream";
import { readStreams } from "../logs/index.ts";

export interface AttachedOutput {
  readonly stdout: Readable;
  /** Absent for an app on a terminal. */
  readonly stderr?: Readable;
  /** Resolves when all is read, or when it was let go of. */
  readonly done: Promise<void>;
}

/**
 * Resolves once nothing that is printed from now on can be missed.
 * @param running false once the app has ended and all that it printed is in its log
 * @param signal lets go of it
 */
export async function attachOutput(
  log: { readonly path: string; readonly tty: boolean },
  running: () => boolean,
  signal: AbortSignal,
): Promise<AttachedOutput> {
  const stdout = new PassThrough();
  const stderr = log.tty ? undefined : new PassThrough();
  const { promise: begun, resolve: onBegin, reject } = Promise.withResolvers<void>();
  const copy = async (): Promise<void> => {
    try {
      for await (const pieces of readStreams({ path: log.path, follow: true, tail: 0, running, signal, onBegin })) {
        for (const { stream, data } of pieces) await write((stream === "stderr" && stderr) || stdout, data, signal);
      }
    } finally {
      stdout.end();
      stderr?.end();
    }
  };
  const done = copy();
  done.catch(reject);
  await begun;
  return { stdout, ...(stderr === undefined ? {} : { stderr }), done };
}

/** A log holds what a slow reader has not read yet, so memory need not. */
async function write(stream: PassThrough, data: Buffer, signal: AbortSignal): Promise<void> {
  if (stream.destroyed || signal.aborted || stream.write(data)) return;
  try {
    await Promise.race([once(stream, "drain", { signal }), once(stream, "close", { signal })]);
  } catch (error) {
    if (!signal.aborted) throw error;
  }
}
