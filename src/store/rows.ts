/** The shapes of rows and of the JSON columns: a database is input too, so it is checked on the way in. */
import { z } from "zod";
import type { ContainerChecks, ContainerExit } from "./contract.ts";

const optionalNumber = z
  .number()
  .nullable()
  .transform((value) => value ?? undefined);

const failure = z.object({ reason: z.string(), message: z.string() });

const fatal = z.object({ check: z.enum(["postStart", "startup", "liveness"]), message: z.string() });

const exit = z
  .object({
    containerId: z.string(),
    attempt: z.number(),
    exitCode: z.number(),
    reason: z.string(),
    message: z.string().optional(),
    startedAt: z.number().optional(),
    finishedAt: z.number(),
    logPath: z.string(),
    imageDigest: z.string(),
    killedFor: fatal.optional(),
  })
  .transform((value): ContainerExit => ({ ...value, message: value.message, startedAt: value.startedAt }));

const checks = z
  .object({
    containerId: z.string(),
    postStarted: z.boolean(),
    startup: z.boolean(),
    ready: z.boolean(),
    changedAt: z.number().optional(),
    failure: fatal.optional(),
  })
  .transform((value): ContainerChecks => ({ ...value, changedAt: value.changedAt, failure: value.failure }));

/** A JSON column: null, or text that parses to `schema`. */
function json<T extends z.ZodType>(schema: T) {
  return z
    .string()
    .nullable()
    .transform((text) => (text === null ? undefined : schema.parse(JSON.parse(text))));
}

export const podRow = z
  .object({
    uid: z.string(),
    namespace: z.string(),
    name: z.string(),
    created_at: z.number(),
    sandbox_attempt: z.number(),
    deletion_deadline: optionalNumber,
    failure: json(failure),
  })
  .transform((row) => ({
    uid: row.uid,
    namespace: row.namespace,
    name: row.name,
    createdAt: row.created_at,
    sandboxAttempt: row.sandbox_attempt,
    deletionDeadline: row.deletion_deadline,
    failure: row.failure,
  }));

export const containerRow = z
  .object({
    pod_uid: z.string(),
    name: z.string(),
    spec_hash: z.string(),
    attempt: z.number(),
    restart_count: z.number(),
    backoff_level: z.number(),
    backoff_until: optionalNumber,
    last_exit: json(exit),
    previous_exit: json(exit),
    checks: json(checks),
  })
  .transform((row) => ({
    podUid: row.pod_uid,
    name: row.name,
    specHash: row.spec_hash,
    attempt: row.attempt,
    restartCount: row.restart_count,
    backoffLevel: row.backoff_level,
    backoffUntil: row.backoff_until,
    lastExit: row.last_exit,
    previousExit: row.previous_exit,
    checks: row.checks,
  }));

export const acceptedRow = z.object({ uid: z.string(), text: z.string() });

export const textRow = z.object({ key: z.string(), text: z.string() });

export const lastGoodRow = z.object({ file: z.string(), text: z.string() });

export const eventRow = z
  .object({
    id: z.number(),
    object: z.string(),
    pod_uid: z.string().nullable(),
    type: z.enum(["Normal", "Warning"]),
    reason: z.string(),
    message: z.string(),
    first_at: z.number(),
    at: z.number(),
    count: z.number(),
  })
  .transform((row) => ({
    id: row.id,
    object: row.object,
    podUid: row.pod_uid ?? undefined,
    type: row.type,
    reason: row.reason,
    message: row.message,
    firstAt: row.first_at,
    at: row.at,
    count: row.count,
  }));

export const updateRow = z.object({
  facts: z
    .string()
    .transform((text): unknown => JSON.parse(text))
    .pipe(
      z.object({
        key: z.string(),
        container: z.string(),
        image: z.string(),
        state: z.enum(["rolling", "rolled-back"]),
        from: z.string(),
        to: z.string(),
        at: z.number(),
        deadlineAt: z.number(),
        reason: z.string(),
      }),
    ),
});
