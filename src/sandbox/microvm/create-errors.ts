/** What the agent says of a container that it can't create, in words for people. Pure. */
import { constants } from "node:os";
import { GantryError } from "../../system/errors.ts";
import type { ContainerConfig } from "../driver.ts";
import { OWN_FILTER_HINT } from "../namespace/runtime-errors.ts";
import { SUBPATH_HINT } from "../namespace/subpath.ts";
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
    hint: SUBPATH_HINT,
  });
}

/** A filter of the user's own may well be why nothing starts. @returns the error itself when there is none */
export function explainFilter(error: unknown, { name, security }: Pick<ContainerConfig, "name" | "security">): unknown {
  if (!(error instanceof AgentRefusal) || security.seccomp.type !== "Localhost") return error;
  const message = `container ${name} cannot be created: ${error.message}`;
  return new GantryError("runtime-failed", message, { hint: OWN_FILTER_HINT, cause: error });
}
