import type { ErrorCode } from "../system/errors.ts";

/** What scripts can rely on. `changes`: of `plan --exit-code`. 130 is what shells report after Ctrl-C. */
export const EXIT = { ok: 0, failed: 1, usage: 2, notFound: 3, unreachable: 4, changes: 5, interrupted: 130 } as const;

const EXIT_CODE_OF: Readonly<Record<ErrorCode, number>> = {
  usage: EXIT.usage,
  "not-found": EXIT.notFound,
  "already-exists": EXIT.failed,
  conflict: EXIT.failed,
  "invalid-manifest": EXIT.failed,
  unsupported: EXIT.failed,
  "invalid-config": EXIT.failed,
  "config-missing": EXIT.failed,
  "image-missing": EXIT.notFound,
  "image-invalid": EXIT.failed,
  "image-in-use": EXIT.failed,
  "image-untrusted": EXIT.failed,
  "access-denied": EXIT.failed,
  "too-many-requests": EXIT.failed,
  "registry-denied": EXIT.failed,
  "registry-failed": EXIT.failed,
  "source-failed": EXIT.failed,
  "source-untrusted": EXIT.failed,
  "name-invalid": EXIT.usage,
  "volume-failed": EXIT.failed,
  "network-failed": EXIT.failed,
  "port-in-use": EXIT.failed,
  "runtime-failed": EXIT.failed,
  "command-failed": EXIT.failed,
  "command-missing": EXIT.failed,
  timeout: EXIT.failed,
  cancelled: EXIT.interrupted,
  "disk-full": EXIT.failed,
  "state-damaged": EXIT.failed,
  "daemon-unreachable": EXIT.unreachable,
  "daemon-running": EXIT.failed,
  "host-unsupported": EXIT.failed,
  internal: EXIT.failed,
};

/** The exit code of a command that failed with `code`. */
export function exitCodeOf(code: ErrorCode): number {
  return EXIT_CODE_OF[code];
}
