import { constants } from "node:fs";
import { open } from "node:fs/promises";
import { errnoOf } from "../../system/errors.ts";
import type { ContainerFiles } from "./dirs.ts";
import { isAbsent } from "./files.ts";

/** Writes a control message to a container's conmon. One that has ended hears nothing any more: fine. */
export async function tellConmon(files: ContainerFiles, message: string): Promise<void> {
  try {
    const fifo = await open(files.control, constants.O_WRONLY | constants.O_NONBLOCK | constants.O_NOFOLLOW);
    try {
      await fifo.write(message);
    } finally {
      await fifo.close();
    }
  } catch (error) {
    // ENXIO: nobody has it open any more; EPIPE: it ended just now.
    if (isAbsent(error) || ["ENXIO", "EPIPE"].includes(errnoOf(error) ?? "")) return;
    throw error;
  }
}
