/** A source as people see it, in the words of Argo CD and Flux. Pure. */

import type { Revision } from "./commit.ts";
import { type HistoryEntry, type SourceFacts, signerOf } from "./facts.ts";
import { type Health, healthOf, type SourcePod } from "./health.ts";
import { type GitSourceSpec, refText } from "./schema.ts";
import { folderIn, withoutSecrets } from "./url.ts";

export type SyncState = "Synced" | "OutOfSync" | "Suspended" | "Failed";

export interface SourceStatus {
  readonly name: string;
  /** Without what is secret in it. */
  readonly url: string;
  readonly ref: string;
  readonly path: string;
  readonly sync: SyncState;
  readonly health: Health;
  /** What is in force. */
  readonly revision: Revision | undefined;
  /** Since when, ms since the epoch. */
  readonly since: number | undefined;
  /** Who signed it, where that is asked. */
  readonly signer: string | undefined;
  /** What the remote had last. */
  readonly remote: Revision | undefined;
  /** When the remote answered last. */
  readonly fetchedAt: number | undefined;
  /** Why it is not Synced and Healthy, and what to do. */
  readonly message: string | undefined;
  readonly hint: string | undefined;
  /** Since when the remote can't be fetched. */
  readonly failingSince: number | undefined;
  readonly wave: number | undefined;
  /** What was put back last that had been changed by hand. */
  readonly drift: SourceFacts["drift"];
  readonly pods: readonly SourcePod[];
  /** Newest first. */
  readonly history: readonly HistoryEntry[];
  /** From config.yaml; others were added by hand. */
  readonly configured: boolean;
}

export function statusOf(
  spec: GitSourceSpec,
  facts: SourceFacts,
  pods: readonly SourcePod[],
  configured: boolean,
): SourceStatus {
  const { active, seen, failure, blocked, rollout, trying, history } = facts;
  const { sync, message, hint } = syncOf(spec, facts, pods);
  const health = healthOf(pods);
  return {
    name: spec.name,
    url: withoutSecrets(spec.url),
    ref: refText(spec),
    path: folderIn(spec.path) ?? "",
    sync,
    // Nothing in force is not well yet.
    health: health === "Healthy" && (trying !== undefined || active === undefined) ? "Progressing" : health,
    revision: active?.revision,
    since: active?.since,
    signer: signerOf(facts, active?.revision.oid),
    remote: seen,
    fetchedAt: facts.fetchedAt,
    message: message ?? blocked?.message ?? troubleOf(pods),
    hint,
    failingSince: failure?.since,
    wave: rollout?.wave,
    drift: facts.drift,
    pods,
    history,
    configured,
  };
}

interface Sync {
  readonly sync: SyncState;
  readonly message?: string | undefined;
  readonly hint?: string | undefined;
}

function syncOf(spec: GitSourceSpec, facts: SourceFacts, pods: readonly SourcePod[]): Sync {
  const { active, seen, failure, blocked, rollout } = facts;
  if (isSuspended(spec, facts)) return { sync: "Suspended", hint: `gantry sync resume ${spec.name}` };
  if (failure !== undefined) return { sync: "Failed", message: failure.message, hint: failure.hint };
  if (blocked?.why === "refused") return { sync: "Failed", message: blocked.message };
  if (blocked !== undefined) {
    const hint = `A new commit ends this; or: gantry sync now ${spec.name} --retry`;
    return { sync: "OutOfSync", message: blocked.message, hint };
  }
  if (active === undefined) return { sync: "OutOfSync", message: "nothing was fetched yet" };
  if (rollout !== undefined) return { sync: "OutOfSync", message: `wave ${rollout.wave} is in force` };
  // What was fetched comes into force by and by; after a diff with the next sync.
  const isNewest = seen === undefined || seen.oid === active.revision.oid;
  return { sync: isNewest && pods.every(({ synced }) => synced) ? "Synced" : "OutOfSync" };
}

/** The first pod that is not well, and why. */
function troubleOf(pods: readonly SourcePod[]): string | undefined {
  const bad = pods.find(({ health }) => health === "Degraded");
  return bad === undefined ? undefined : `pod ${bad.key}${bad.message === undefined ? "" : `: ${bad.message}`}`;
}

export function isSuspended(spec: GitSourceSpec, facts: SourceFacts): boolean {
  return facts.suspended ?? spec.suspend;
}
