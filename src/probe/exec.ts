import type { Readable } from "node:stream";
import { finished } from "node:stream/promises";
import type { ExecSession } from "../sandbox/driver.ts";

/** The kubelet keeps no more of what a probe's command prints (kubernetes/pkg/probe/exec, maxReadLength). Bytes. */
const MAX_OUTPUT_BYTES = 10 * 1024;

export interface CommandEnd {
  readonly exitCode: number;
  /** stdout and stderr as they came, no more than 10 KiB of them. */
  readonly output: string;
}

/** Runs a command to its end. Aborting kills it, by the signal that `session` was begun with. */
export async function endOf(session: ExecSession): Promise<CommandEnd> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  const keep = async (stream: Readable): Promise<void> => {
    stream.on("data", (chunk: Buffer) => {
      if (bytes < MAX_OUTPUT_BYTES) chunks.push(chunk);
      bytes += chunk.length;
    });
    await finished(stream, { writable: false }).catch(() => {}); // what was read is good enough
  };
  const kept = [keep(session.stdout), session.stderr === undefined ? undefined : keep(session.stderr)];
  const exitCode = await session.exitCode;
  // The streams end with the command; what came last, as when there is no such command, may be yet to be read.
  await Promise.all(kept);
  return { exitCode, output: Buffer.concat(chunks).subarray(0, MAX_OUTPUT_BYTES).toString("utf8").trim() };
}
