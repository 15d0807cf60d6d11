import type { CreateRequest, GuestProcess } from "../../../../src/sandbox/microvm/protocol/index.ts";

/** A container on disk 0 that writes to port 0, and asks for nothing else but what `changes` say. */
export function containerRequest(
  container: string,
  process: GuestProcess,
  changes: Partial<CreateRequest> = {},
): CreateRequest {
  return {
    ...{ container, image: 0, process, logPort: 0, stdin: "closed", tty: false, privileged: false },
    ...{ readOnlyRoot: false, sharePidNamespace: false, mounts: [], tmpfs: [], maskedPaths: [], readOnlyPaths: [] },
    ...{ cgroup: {}, rlimits: [] },
    ...changes,
  };
}
