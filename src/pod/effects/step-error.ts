import { type ErrorCode, GantryError, messageOf, toGantryError } from "../../system/errors.ts";
import type { JobFailure, WorkFailure } from "../machine/env.ts";

interface StepErrorOptions {
  readonly startError?: NonNullable<JobFailure["startError"]>;
  readonly containers?: WorkFailure["containers"];
}

/** A step of a pod that failed, with the reason that Kubernetes has for it. */
export class StepError extends GantryError {
  readonly reason: string;
  readonly options: StepErrorOptions;

  constructor(reason: string, cause: unknown, options: StepErrorOptions = {}) {
    const {
      code,
      hint,
      kind,
      message,
    }: { code: ErrorCode; hint: string | undefined; kind: GantryError["kind"]; message: string } = toGantryError(cause);
    super(code, message, { kind, cause, ...(hint === undefined ? {} : { hint }) });
    this.reason = reason;
    this.options = options;
  }
}

/** @throws StepError with `reason`; one that has a reason already keeps it */
export async function as<T>(reason: string, work: () => T | Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw error instanceof StepError ? error : new StepError(reason, error);
  }
}

/** What failed and what to do about it, in one line. */
export function explain(error: unknown): string {
  const hint = error instanceof GantryError ? error.hint : undefined;
  return hint === undefined ? messageOf(error) : `${messageOf(error)}: ${hint}`;
}

export function jobFailure(error: unknown): JobFailure {
  if (!(error instanceof StepError)) return { reason: "InternalError", message: explain(error) };
  const { startError } = error.options;
  return { reason: error.reason, message: explain(error), ...(startError === undefined ? {} : { startError }) };
}

export function workFailure(error: unknown): WorkFailure {
  const reason = error instanceof StepError ? error.reason : "InternalError";
  return {
    reason,
    message: explain(error),
    containers: error instanceof StepError ? (error.options.containers ?? {}) : {},
  };
}
