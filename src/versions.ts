/**
 * A changed pod that does not become ready in time goes back to the version that was. What is remembered of a pod: the
 * version that was ready last, the one that is being tried, and the one that failed. Pure.
 */
import { hashOf } from "./hash.ts";
import type { DesiredPod } from "./pod/contract.ts";

export interface VersionFacts {
  /** What it ran by when it was ready last, as `acceptedText` wrote it. */
  readonly ready: { readonly id: string; readonly text: string };
  /** Another version is being tried; `until` it must be ready, ms since the epoch. */
  readonly trying?: { readonly id: string; readonly since: number; readonly until: number } | undefined;
  /** It was tried in vain: not again, until the manifest says something else. */
  readonly failed?: { readonly id: string; readonly at: number; readonly seconds: number } | undefined;
}

/** The same for two manifests between which nothing would be restarted. */
export function versionId(desired: DesiredPod): string {
  const known = ids.get(desired);
  if (known !== undefined) return known;
  const id = hashOf([desired.sandboxHash, desired.containerHashes]);
  ids.set(desired, id);
  return id;
}

const ids = new WeakMap<DesiredPod, string>();

export interface VersionLook {
  /** What runs now. */
  readonly running: string;
  readonly text: () => string;
  readonly ready: boolean;
  /** It is ready, but only since a moment ago: nothing is decided yet. */
  readonly settling: boolean;
  /** ms */
  readonly deadlineMs: number;
  /** ms since the epoch */
  readonly now: number;
}

/** What is known after a look at the pod; the same object when nothing is new. */
export function lookAtVersion(facts: VersionFacts | undefined, look: VersionLook): VersionFacts | undefined {
  const { running, ready, settling, deadlineMs, now } = look;
  if (ready) {
    if (facts?.ready.id === running && facts.trying === undefined) return facts;
    const version = facts?.ready.id === running ? facts.ready : { id: running, text: look.text() };
    return { ready: version, failed: facts?.failed };
  }
  // Nothing to go back to, or it is the one that was ready: it mends itself by restarts.
  if (facts === undefined || facts.ready.id === running) return facts;
  const { trying } = facts;
  if (trying?.id !== running) return { ...facts, trying: { id: running, since: now, until: now + deadlineMs } };
  if (settling || now < trying.until) return facts;
  const seconds = Math.round((trying.until - trying.since) / 1000);
  return { ready: facts.ready, failed: { id: running, at: now, seconds } };
}

/** For `status` and `describe`: one sentence; none while nothing was rolled back. */
export function rollbackSentence({ failed }: VersionFacts): string | undefined {
  if (failed === undefined) return undefined;
  const at = new Date(failed.at).toISOString().replace(/\.\d+Z$/, "Z");
  return `the version in the manifest did not become ready within ${failed.seconds} s: rolled back to the last ready one at ${at}, until the manifest changes`;
}
