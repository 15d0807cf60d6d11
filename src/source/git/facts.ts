/** What is known of a Git source, kept over restarts, and how it goes from one state to the next. Pure. */
import { z } from "zod";
import { type Revision, revisionSchema, revisionText } from "./commit.ts";

/** An object that is in force though the revision does not have it: a file that is broken now, or one not to be pruned. */
export const keptSchema = z.object({
  /** "Pod default/web" */
  identity: z.string(),
  /** The file that has it, and that file's content. */
  path: z.string(),
  oid: z.string(),
  why: z.enum(["broken", "unpruned"]),
});
export type Kept = Readonly<z.output<typeof keptSchema>>;

const inForceSchema = z.object({
  revision: revisionSchema,
  /** The folder in the repository; "" is the whole. */
  folder: z.string(),
  kept: z.array(keptSchema),
});
/** A revision, with what is in force beside it. */
export type InForce = z.output<typeof inForceSchema>;

export const OUTCOMES = ["Progressing", "Healthy", "Degraded", "RolledBack", "Refused", "Superseded"] as const;

const historySchema = z.object({
  revision: revisionSchema,
  /** ms since the epoch. */
  at: z.number(),
  outcome: z.enum(OUTCOMES),
  message: z.string().optional(),
  /** Who signed it, where that was asked. */
  signer: z.string().optional(),
});
export type HistoryEntry = Readonly<z.output<typeof historySchema>>;

export const factsSchema = z.object({
  suspended: z.boolean().optional(),
  active: inForceSchema.extend({ since: z.number() }).optional(),
  /** While the waves of `active` are gone through: what was before, and the wave that is in force. */
  rollout: z.object({ from: inForceSchema.optional(), wave: z.number() }).optional(),
  /** What became ready last. */
  healthy: inForceSchema.optional(),
  /** `active` is on probation. */
  trying: z.object({ since: z.number(), until: z.number(), excused: z.array(z.string()) }).optional(),
  /** A revision that is not to be in force. */
  blocked: z
    .object({
      revision: revisionSchema,
      why: z.enum(["refused", "unhealthy", "by-hand"]),
      message: z.string(),
      at: z.number(),
    })
    .optional(),
  /** What the remote had last, and when it said so. */
  seen: revisionSchema.optional(),
  fetchedAt: z.number().optional(),
  failure: z
    .object({ since: z.number(), count: z.number(), message: z.string(), hint: z.string().optional() })
    .optional(),
  /** What was put back last that had been changed by hand. */
  drift: z.object({ at: z.number(), message: z.string() }).optional(),
  history: z.array(historySchema),
});
export type SourceFacts = Readonly<z.output<typeof factsSchema>>;

export const NOTHING_KNOWN: SourceFacts = { history: [] };

/** Revisions of the past that are listed, and can be gone back to. */
export const HISTORY_LENGTH = 20;

/** The remote answered. */
export function fetched(facts: SourceFacts, revision: Revision, now: number): SourceFacts {
  const { failure: _over, blocked, ...rest } = facts;
  // Only a new commit ends a block; a tag that names the same one is no new commit.
  const stays = blocked !== undefined && blocked.revision.oid === revision.oid;
  return { ...rest, seen: revision, fetchedAt: now, ...(stays && { blocked }) };
}

/** The remote can't be reached, or has not what is asked for. */
export function fetchFailed(facts: SourceFacts, message: string, hint: string | undefined, now: number): SourceFacts {
  const since = facts.failure?.since ?? now;
  const count = (facts.failure?.count ?? 0) + 1;
  return { ...facts, failure: { since, count, message, ...(hint !== undefined && { hint }) } };
}

/** What to do with the revision that was just fetched. */
export type Decision =
  | { readonly type: "nothing" }
  | { readonly type: "consider" }
  /** Only somebody who asks for it gets it tried again. */
  | { readonly type: "blocked"; readonly message: string };

/** Who signed a revision when it came into force; undefined where nobody asked. */
export function signerOf({ history }: SourceFacts, oid: string | undefined): string | undefined {
  return history.find(({ revision, outcome }) => revision.oid === oid && outcome !== "Refused")?.signer;
}

/** @param insist somebody asked for it by hand */
export function decide(facts: SourceFacts, revision: Revision, folder: string, insist: boolean): Decision {
  const { active, blocked } = facts;
  const same = active?.revision.oid === revision.oid && active.folder === folder;
  if (same && `${active.revision.submodules}` === `${revision.submodules}`) return { type: "nothing" };
  if (blocked?.revision.oid === revision.oid && blocked.why !== "refused" && !insist)
    return { type: "blocked", message: blocked.message };
  return { type: "consider" };
}

/** It does not come into force; what is in force stays. */
export function refused(facts: SourceFacts, revision: Revision, message: string, now: number): SourceFacts {
  const known = facts.blocked?.revision.oid === revision.oid && facts.blocked.message === message;
  const blocked = { revision, why: "refused" as const, message, at: known ? (facts.blocked?.at ?? now) : now };
  const entry: HistoryEntry = { revision, at: now, outcome: "Refused", message };
  return { ...facts, blocked, history: known ? facts.history : withEntry(facts.history, entry) };
}

export interface Applied {
  readonly revision: Revision;
  readonly folder: string;
  readonly kept: readonly Kept[];
  readonly signer: string | undefined;
  /** The first wave; undefined when all is in force at once. */
  readonly wave: number | undefined;
  /** ms; 0: nobody waits for its pods. */
  readonly deadlineMs: number;
  /** Pods that were not ready before, by key and version: they say nothing about this revision. */
  readonly excused: readonly string[];
}

/** A revision comes into force. */
export function applied(facts: SourceFacts, what: Applied, now: number): SourceFacts {
  const { revision, folder, kept, signer, wave, deadlineMs, excused } = what;
  const { blocked: _gone, rollout: _over, trying: _ended, ...rest } = facts;
  const before = facts.active;
  const gated = deadlineMs > 0;
  const inForce = { revision, folder, kept: [...kept] };
  return {
    ...rest,
    active: { ...inForce, since: now },
    ...(wave !== undefined && {
      rollout: { wave, ...(before !== undefined && { from: withoutTime(before) }) },
    }),
    ...(gated ? { trying: { since: now, until: now + deadlineMs, excused: [...excused] } } : { healthy: inForce }),
    history: withEntry(superseded(facts.history), {
      revision,
      at: now,
      outcome: gated ? "Progressing" : "Healthy",
      ...(signer !== undefined && { signer }),
    }),
  };
}

/** Its pods are ready. */
export function becameHealthy(facts: SourceFacts): SourceFacts {
  const { trying: _over, ...rest } = facts;
  if (facts.active === undefined) return rest;
  const { revision } = facts.active;
  return { ...rest, healthy: withoutTime(facts.active), history: withOutcome(facts.history, revision.oid, "Healthy") };
}

function withoutTime({ revision, folder, kept }: InForce): InForce {
  return { revision, folder, kept };
}

/** Its pods did not become ready in time, and there is nothing to go back to. */
export function stayedDegraded(facts: SourceFacts, message: string): SourceFacts {
  const { trying: _over, ...rest } = facts;
  const oid = facts.active?.revision.oid ?? "";
  return { ...rest, history: withOutcome(facts.history, oid, "Degraded", message) };
}

/** Back to another revision; the present one is not tried again until there is a new commit. */
export function wentBack(
  facts: SourceFacts,
  to: InForce,
  why: "unhealthy" | "by-hand",
  message: string,
  now: number,
): SourceFacts {
  const { active, trying: _over, rollout: _ended, ...rest } = facts;
  if (active === undefined) return facts;
  // Whatever the remote has now is what must not come back by itself.
  const revision = why === "by-hand" ? (facts.seen ?? active.revision) : active.revision;
  const { blocked: _before, ...free } = rest;
  return {
    ...free,
    active: { ...to, since: now },
    healthy: why === "unhealthy" ? (facts.healthy ?? to) : to,
    ...(revision.oid !== to.revision.oid && { blocked: { revision, why, message, at: now } }),
    history: withOutcome(facts.history, active.revision.oid, "RolledBack", message),
  };
}

/** The next wave is in force, or all of it. */
export function atWave(facts: SourceFacts, wave: number | undefined): SourceFacts {
  const { rollout, ...rest } = facts;
  return wave === undefined || rollout === undefined ? rest : { ...rest, rollout: { ...rollout, wave } };
}

/** ms until the probation ends; a clock that was set back makes it no longer than it was to be. */
export function remainingMs(trying: NonNullable<SourceFacts["trying"]>, now: number): number {
  return Math.max(0, Math.min(trying.until - now, trying.until - trying.since));
}

/** The objects that must stay in the copy of the repository. */
export function neededObjects(facts: SourceFacts): string[] {
  const inForce = [facts.active, facts.healthy, facts.rollout?.from].filter((one) => one !== undefined);
  const past = facts.history.filter(({ outcome }) => outcome !== "Refused").slice(0, HISTORY_LENGTH);
  return [
    ...new Set([
      ...inForce.flatMap(({ revision, kept }) => [...commitsOf(revision), ...kept.map(({ oid }) => oid)]),
      ...past.flatMap(({ revision }) => commitsOf(revision)),
    ]),
  ];
}

function commitsOf({ oid, submodules = [] }: Revision): string[] {
  return [oid, ...submodules];
}

/** What to go back to by hand: the last good one before the present, or the one that begins with `wanted`. @returns a sentence when there is none */
export function rollbackTarget(facts: SourceFacts, wanted: string | undefined): Revision | string {
  const present = facts.active?.revision.oid;
  if (present === undefined) return "nothing is in force yet";
  const known = facts.history.filter(({ outcome }) => outcome !== "Refused").map(({ revision }) => revision);
  if (wanted !== undefined) {
    const found = known.filter(({ oid, tag }) => oid.startsWith(wanted) || tag === wanted);
    if (new Set(found.map(({ oid }) => oid)).size > 1)
      return `${wanted} may be one of several revisions: give more of it`;
    const [only] = found;
    if (only === undefined) return `no revision of the history begins with ${wanted}`;
    return only.oid === present ? `${revisionText(only)} is in force already` : only;
  }
  const good = facts.history.find(
    ({ revision, outcome }) => revision.oid !== present && (outcome === "Healthy" || outcome === "Superseded"),
  );
  return good?.revision ?? "there is no earlier revision to go back to";
}

function withEntry(history: readonly HistoryEntry[], entry: HistoryEntry): HistoryEntry[] {
  return [entry, ...history].slice(0, HISTORY_LENGTH);
}

function superseded(history: readonly HistoryEntry[]): HistoryEntry[] {
  return history.map((entry) => (entry.outcome === "Progressing" ? { ...entry, outcome: "Superseded" } : entry));
}

/** Of the newest entry of this revision that is not a refusal. */
function withOutcome(
  history: readonly HistoryEntry[],
  oid: string,
  outcome: HistoryEntry["outcome"],
  message?: string,
): HistoryEntry[] {
  const at = history.findIndex((entry) => entry.revision.oid === oid && entry.outcome !== "Refused");
  return history.map((entry, index) =>
    index === at ? { ...entry, outcome, ...(message !== undefined && { message }) } : entry,
  );
}
