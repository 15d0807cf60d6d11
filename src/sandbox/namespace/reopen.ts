import { tellConmon } from "./conmon-control.ts";
import type { ContainerFiles } from "./dirs.ts";

/** conmon's control message "reopen the log": type 2, and two numbers that it does not use. */
const REOPEN = "2 0 0\n";

/** Tells a container's conmon to go on in a new log file. */
export async function reopenLog(files: ContainerFiles): Promise<void> {
  await tellConmon(files, REOPEN);
}
