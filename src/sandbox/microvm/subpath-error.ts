/** What the agent says of a subPath that it can't open, in words for people. Pure. */
import { constants } from "node:os";
import { GantryError } from "../../system/errors.ts";
import type { ContainerConfig } from "../driver.ts";
import { AgentRefusal } from "./channel/link.ts";

const { EXDEV, ELOOP, ENOENT, ENOTDIR, EROFS } = constants.errno;

/** By Linux errno, of openat2 with RESOLVE_BENEATH. */
const WHY: Readonly<Record<number, string>> = {
  [EXDEV]: "leads out of the volume by a link",
  [ELOOP]: "has too many links",
  [ENOENT]: "does not exist",
  [ENOTDIR]: "leads through something that is not a directory",
  [EROFS]: "does not exist, and the volume is read-only",
};

/** @returns the error itself when it is about something else */
export function explainSubPath(error: unknown, { mounts }: Pick<ContainerConfig, "mounts">): unknown {
  if (!(error instanceof AgentRefusal)) return error;
  const { errno, message } = error.reply;
  const why = WHY[errno];
  const mount = mounts.find(({ subPath }) => subPath !== undefined && message.includes(`: ${subPath}: `));
  if (why === undefined || mount === undefined) return error;
  return new GantryError("volume-failed", `the subPath ${JSON.stringify(mount.subPath)} of ${mount.volume} ${why}`, {
    cause: error,
    hint: "A subPath names something below its volume; a link in it may not lead out.",
  });
}
