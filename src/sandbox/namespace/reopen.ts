import { constants } from "node:fs";
import { open } from "node:fs/promises";
import { errnoOf } from "../../system/errors.ts";
import type { ContainerFiles } from "./dirs.ts";
import { isAbsent } from "./files.ts";

/** conmon's control message "reopen the log": type 2, and two numbers that it does not use. */
const REOPEN = "2 0 0\n";

/** Tells a container's conmon to go on in a new log file. One that has ended writes no more: fine. */
export async function reopenLog(files: ContainerFiles): Promise<void> {
  try {
    const fifo = await open(files.control, constants.O_WRONLY | constants.O_NONBLOCK | constants.O_NOFOLLOW);
    try {
      await fifo.write(REOPEN);
    } finally {
      await fifo.close();
    }
  } catch (error) {
    // ENXIO: nobody has it open any more; EPIPE: it ended just now.
    if (isAbsent(error) || ["ENXIO", "EPIPE"].includes(errnoOf(error) ?? "")) return;
    throw error;
  }
}
