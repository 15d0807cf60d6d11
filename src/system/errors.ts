/**
 * Every error that Gantry throws on purpose. One type, told apart by `code`.
 *
 * - a `user` error is something the reader can mend (a manifest, a flag, a missing package);
 * - a `system` error is the host or a tool that failed us.
 *
 * `hint` says what to do next, in one sentence.
 */
export type ErrorKind = "user" | "system";

/** Codes are stable: scripts match on them, and `-o json` prints them. */
export type ErrorCode =
  | "usage"
  | "not-found"
  | "already-exists"
  | "conflict"
  | "invalid-manifest"
  | "unsupported"
  | "invalid-config"
  | "config-missing" // a ConfigMap, Secret or key that a pod needs is not there
  | "image-missing"
  | "image-invalid"
  | "image-in-use"
  | "image-untrusted" // the policy does not let it in
  | "access-denied" // the API does not know the client, or does not let it do this
  | "too-many-requests"
  | "registry-denied" // it asks for a password, or for another one
  | "registry-failed" // it can't be reached, or answers with an error
  | "source-failed" // a Git repository can't be fetched or read
  | "source-untrusted" // its revision is not signed as asked
  | "name-invalid"
  | "volume-failed"
  | "network-failed"
  | "port-in-use"
  | "runtime-failed" // the OCI runtime or the VMM refused
  | "command-failed" // any other tool exited non-zero
  | "command-missing" // a tool is not installed
  | "timeout"
  | "cancelled"
  | "disk-full"
  | "state-damaged"
  | "daemon-unreachable"
  | "daemon-running"
  | "host-unsupported"
  | "internal";

export interface GantryErrorOptions {
  readonly kind?: ErrorKind;
  /** What the reader should do next. */
  readonly hint?: string;
  readonly cause?: unknown;
  /** Facts for the log and for `-o json`: file, line, field, exit code … */
  readonly details?: Readonly<Record<string, unknown>>;
}

export class GantryError extends Error {
  override readonly name = "GantryError";
  readonly code: ErrorCode;
  readonly kind: ErrorKind;
  readonly hint: string | undefined;
  readonly details: Readonly<Record<string, unknown>>;

  constructor(code: ErrorCode, message: string, options: GantryErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.kind = options.kind ?? "user";
    this.hint = options.hint;
    this.details = options.details ?? {};
  }
}

/** True for a GantryError, of one of `codes` when any are given. */
export function isGantryError(error: unknown, ...codes: ErrorCode[]): error is GantryError {
  return error instanceof GantryError && (codes.length === 0 || codes.includes(error.code));
}

/** What `error` says, whatever was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** The `code` of a Node.js system error (ENOENT …), if it is one. */
export function errnoOf(error: unknown): string | undefined {
  if (!(error instanceof Error) || !("code" in error)) return undefined;
  return typeof error.code === "string" ? error.code : undefined;
}

/**
 * Wraps whatever was thrown in a GantryError; one that already is passes through unchanged.
 * ENOSPC and EDQUOT become `disk-full` and an abort becomes `cancelled`, whatever `code` says.
 */
export function toGantryError(error: unknown, code: ErrorCode = "internal", message?: string): GantryError {
  if (error instanceof GantryError) return error;
  const errno = errnoOf(error);
  const text = message === undefined ? messageOf(error) : `${message}: ${messageOf(error)}`;
  if (errno === "ENOSPC" || errno === "EDQUOT") {
    return new GantryError("disk-full", text, {
      kind: "system",
      cause: error,
      hint: "Free some disk space; Gantry tries again by itself.",
    });
  }
  if (error instanceof Error && error.name === "AbortError") {
    return new GantryError("cancelled", text, { kind: "system", cause: error });
  }
  return new GantryError(code, text, { kind: "system", cause: error });
}
