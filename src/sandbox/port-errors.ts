import { GantryError } from "../system/errors.ts";

/** What keeps a port of a pod from being reached, in the same words for every driver. */
export function nothingListens(port: number, cause?: unknown): GantryError {
  return new GantryError("network-failed", `nothing listens on TCP port ${port} in the pod`, {
    cause,
    hint: "Check the port, and that the app listens on every address or on 127.0.0.1.",
  });
}

export function sandboxNotRunning(id: string): GantryError {
  return new GantryError("conflict", `sandbox ${id} is not running`, { kind: "system" });
}
