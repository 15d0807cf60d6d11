import { type ErrorCode, GantryError } from "../system/errors.ts";
import type { StatusDetails, StatusObject } from "./wire.ts";

/** HTTP status and Kubernetes reason of each error code. A Record, so that a new code can't be forgotten. */
export const HTTP_OF_CODE: Readonly<Record<ErrorCode, { readonly status: number; readonly reason: string }>> = {
  usage: { status: 400, reason: "BadRequest" },
  "not-found": { status: 404, reason: "NotFound" },
  "already-exists": { status: 409, reason: "AlreadyExists" },
  conflict: { status: 409, reason: "Conflict" },
  "invalid-manifest": { status: 422, reason: "Invalid" },
  unsupported: { status: 422, reason: "Invalid" },
  "invalid-config": { status: 500, reason: "InternalError" },
  "config-missing": { status: 422, reason: "Invalid" },
  "image-missing": { status: 404, reason: "NotFound" },
  "image-invalid": { status: 422, reason: "Invalid" },
  "image-in-use": { status: 409, reason: "Conflict" },
  "image-untrusted": { status: 403, reason: "Forbidden" },
  "access-denied": { status: 403, reason: "Forbidden" },
  "too-many-requests": { status: 429, reason: "TooManyRequests" },
  "registry-denied": { status: 403, reason: "Forbidden" },
  "registry-failed": { status: 502, reason: "BadGateway" },
  "source-failed": { status: 502, reason: "BadGateway" },
  "source-untrusted": { status: 403, reason: "Forbidden" },
  "name-invalid": { status: 422, reason: "Invalid" },
  "volume-failed": { status: 500, reason: "InternalError" },
  "network-failed": { status: 500, reason: "InternalError" },
  "port-in-use": { status: 409, reason: "Conflict" },
  "runtime-failed": { status: 500, reason: "InternalError" },
  "command-failed": { status: 500, reason: "InternalError" },
  "command-missing": { status: 500, reason: "InternalError" },
  timeout: { status: 504, reason: "Timeout" },
  cancelled: { status: 503, reason: "ServiceUnavailable" },
  "disk-full": { status: 507, reason: "InsufficientStorage" },
  "state-damaged": { status: 500, reason: "InternalError" },
  "daemon-unreachable": { status: 503, reason: "ServiceUnavailable" },
  "daemon-running": { status: 409, reason: "Conflict" },
  "host-unsupported": { status: 500, reason: "InternalError" },
  internal: { status: 500, reason: "InternalError" },
};

/** Refusals of HTTP itself, and the code that they travel as. */
export const HTTP_OF_REASON = {
  Unauthorized: 401,
  Forbidden: 403,
  MethodNotAllowed: 405,
  NotAcceptable: 406,
  RequestTimeout: 408,
  Expired: 410,
  RequestEntityTooLarge: 413,
  UnsupportedMediaType: 415,
  TooManyRequests: 429,
  RequestHeaderFieldsTooLarge: 431,
} as const;

export type HttpReason = keyof typeof HTTP_OF_REASON;

/** An error that only HTTP knows. */
export function httpError(reason: HttpReason, message: string, hint?: string): GantryError {
  return new GantryError(codeOfHttp(reason), message, { details: { reason }, ...(hint !== undefined && { hint }) });
}

function codeOfHttp(reason: HttpReason): ErrorCode {
  switch (reason) {
    case "Expired":
      return "conflict";
    case "Unauthorized":
    case "Forbidden":
      return "access-denied";
    case "TooManyRequests":
      return "too-many-requests";
    default:
      return "usage";
  }
}

/** The v1 Status that tells a client of `error`. `details.gantry` carries all of it, for errorOfStatus. */
export function statusOfError(error: GantryError): StatusObject & { readonly code: number } {
  const { status, reason } = httpOf(error);
  const hint = error.hint;
  return {
    apiVersion: "v1",
    kind: "Status",
    metadata: {},
    status: "Failure",
    message: error.message,
    reason,
    details: {
      ...(status === 422 ? invalidOf(error) : { ...subjectOf(error), ...causesOf(error) }),
      gantry: { code: error.code, kind: error.kind, ...(hint !== undefined && { hint }), details: error.details },
    },
    code: status,
  };
}

/** What the error is about, for clients that look there. */
function subjectOf({ details }: GantryError): Pick<StatusDetails, "name" | "kind" | "group"> {
  const names = (["name", "kind", "group"] as const).filter((field) => typeof details[field] === "string");
  return Object.fromEntries(names.map((field) => [field, details[field]]));
}

/**
 * Of what is invalid, kubectl shows each field that is wrong, after kind and name; only where no field and no kind is
 * told it shows the message.
 */
function invalidOf(error: GantryError): StatusDetails {
  const causes = fieldCauses(error);
  return causes.length === 0 ? {} : { ...subjectOf(error), causes };
}

/** Each field that is wrong, and what to do. */
function causesOf(error: GantryError): Pick<StatusDetails, "causes"> {
  const { hint } = error;
  const found = fieldCauses(error);
  const all = hint === undefined ? found : [...found, { reason: "Hint", message: hint }];
  return all.length === 0 ? {} : { causes: all };
}

function fieldCauses({ details: { causes } }: GantryError): NonNullable<StatusDetails["causes"]> {
  const fields = Array.isArray(causes) ? causes.filter(isFieldCause) : [];
  return fields.map(({ reason = "FieldValueInvalid", message, field }) => ({ reason, message, field }));
}

function isFieldCause(
  value: unknown,
): value is { readonly field: string; readonly message: string; readonly reason?: string } {
  return typeof value === "object" && value !== null && "field" in value && "message" in value;
}

function httpOf(error: GantryError): { readonly status: number; readonly reason: string } {
  const reason = error.details.reason;
  if (typeof reason === "string" && isHttpReason(reason)) return { status: HTTP_OF_REASON[reason], reason };
  return HTTP_OF_CODE[error.code];
}

function isHttpReason(reason: string): reason is HttpReason {
  return Object.hasOwn(HTTP_OF_REASON, reason);
}

/** The error that a v1 Status (as JSON) tells of; what isn't one becomes `internal` with the beginning of the text. */
export function errorOfStatus(text: string, httpStatus: number): GantryError {
  const status = parseStatus(text);
  if (status === undefined) {
    const said = text.trim().slice(0, 200);
    return new GantryError("internal", `the daemon answered ${httpStatus}${said === "" ? "" : `: ${said}`}`, {
      hint: "Is something else than Gantry listening on the socket?",
    });
  }
  const message = status.message ?? status.reason ?? `the daemon answered ${httpStatus}`;
  const gantry = status.details?.gantry;
  if (gantry === undefined || !isErrorCode(gantry.code)) {
    return new GantryError(codeOfReason(status.reason), message, { details: { reason: status.reason } });
  }
  return new GantryError(gantry.code, message, {
    kind: gantry.kind === "system" ? "system" : "user",
    ...(gantry.hint !== undefined && { hint: gantry.hint }),
    details: gantry.details ?? {},
  });
}

/** The Status at the end of a command, as the kubelet words it (k8s.io/apimachinery remotecommand). */
export function statusOfExit(exitCode: number): StatusObject {
  const base = { apiVersion: "v1", kind: "Status", metadata: {} } as const;
  if (exitCode === 0) return { ...base, status: "Success" };
  return {
    ...base,
    status: "Failure",
    reason: "NonZeroExitCode",
    message: `command terminated with non-zero exit code: exit status ${exitCode}`,
    details: { causes: [{ reason: "ExitCode", message: String(exitCode) }] },
  };
}

/** The exit code that the Status at the end of an exec session tells of; undefined when it tells of a failure. */
export function exitCodeOfStatus(text: string): number | undefined {
  const status = parseStatus(text);
  if (status?.status === "Success") return 0;
  const cause = status?.details?.causes?.find(({ reason }) => reason === "ExitCode");
  return cause !== undefined && /^\d+$/.test(cause.message) ? Number(cause.message) : undefined;
}

function parseStatus(text: string): StatusObject | undefined {
  try {
    const value: unknown = JSON.parse(text);
    const isStatus = typeof value === "object" && value !== null && "kind" in value && value.kind === "Status";
    return isStatus ? (value as StatusObject) : undefined;
  } catch {
    return undefined;
  }
}

function isErrorCode(code: string): code is ErrorCode {
  return Object.hasOwn(HTTP_OF_CODE, code);
}

function codeOfReason(reason: string | undefined): ErrorCode {
  switch (reason) {
    case "NotFound":
      return "not-found";
    case "AlreadyExists":
      return "already-exists";
    case "Conflict":
    case "Expired":
      return "conflict";
    case "BadRequest":
    case "MethodNotAllowed":
      return "usage";
    case "Timeout":
      return "timeout";
    case "Unauthorized":
    case "Forbidden":
      return "access-denied";
    case "TooManyRequests":
      return "too-many-requests";
    default:
      return "internal";
  }
}
