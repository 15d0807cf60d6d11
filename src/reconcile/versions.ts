/** Keeps an eye on the versions of pods, and says which one is to run instead of the one that is written. */
import { z } from "zod";
import { acceptedText, parseAccepted } from "../accepted.ts";
import { controllerOf } from "../controller/names.ts";
import type { Desired } from "../desired.ts";
import { PROGRESS_DEADLINE_ANNOTATION, ROLLBACK_ANNOTATION, secondsIn } from "../manifest/pod-annotations.ts";
import type { DesiredPod, PodState, PodSupervisor } from "../pod/contract.ts";
import { conditionsOf } from "../pod/rules/conditions.ts";
import { phaseOf } from "../pod/rules/phase.ts";
import type { NewEvent, StateStore } from "../store/contract.ts";
import type { Clock, TimerHandle } from "../system/clock.ts";
import { messageOf } from "../system/errors.ts";
import type { Logger } from "../system/log.ts";
import { lookAtVersion, rollbackSentence, type VersionFacts, versionId } from "../versions.ts";

export interface VersionsOptions {
  readonly store: StateStore["versions"];
  readonly supervisor: Pick<PodSupervisor, "list">;
  readonly clock: Clock;
  readonly log: Logger;
  readonly event: (event: NewEvent) => void;
  /** A pod was rolled back: put together anew what is wanted. */
  readonly onRollback: () => void;
  /** ms that a new version may take, where the pod does not say. */
  readonly deadlineMs: number;
  /** ms that it must have been ready: one without a probe is ready as soon as it runs. */
  readonly settleMs: number;
}

const version = z.object({ id: z.string(), text: z.string() });
const stored = z.object({
  ready: version,
  trying: z.object({ id: z.string(), since: z.number(), until: z.number() }).optional(),
  failed: z.object({ id: z.string(), at: z.number(), seconds: z.number() }).optional(),
});

export class Versions {
  readonly #options: VersionsOptions;
  readonly #facts = new Map<string, VersionFacts>();
  /** What is run instead, made once. */
  readonly #instead = new Map<string, DesiredPod>();
  /** When pods that became ready have been so for long enough. */
  readonly #settles = new Map<string, number>();
  #timer: TimerHandle | undefined;

  constructor(options: VersionsOptions) {
    this.#options = options;
    for (const { key, text } of options.store.list()) {
      try {
        this.#facts.set(key, stored.parse(JSON.parse(text)));
      } catch (error) {
        options.log.warn({ pod: key, reason: messageOf(error) }, "what was kept of a pod's versions can't be read");
        options.store.remove(key);
      }
    }
  }

  /** What a pod was rolled back from, as a sentence. */
  note(key: string): string | undefined {
    const facts = this.#facts.get(key);
    return facts === undefined ? undefined : rollbackSentence(facts);
  }

  /** The state of one pod is another one. Pods of controllers have versions of their own. */
  look(state: PodState): void {
    const { desired } = state;
    if (state.deletionDeadline !== undefined || controllerOf(desired.pod) !== undefined) return;
    const { annotations } = desired.pod.metadata;
    if (annotations?.[ROLLBACK_ANNOTATION] === "false") {
      this.#forget(desired.key);
      return;
    }
    const { clock } = this.#options;
    const now = clock.now();
    const since = readySince(state);
    const settledAt = since === undefined ? undefined : since + this.#options.settleMs;
    const settling = settledAt !== undefined && settledAt > now;
    const before = this.#facts.get(desired.key);
    const seconds = secondsIn(annotations, PROGRESS_DEADLINE_ANNOTATION);
    const after = lookAtVersion(before, {
      running: versionId(desired),
      text: () => acceptedText(desired),
      ready: settledAt !== undefined && !settling,
      settling,
      deadlineMs: seconds === undefined ? this.#options.deadlineMs : seconds * 1000,
      now,
    });
    if (settling) {
      this.#settles.set(desired.key, settledAt);
      this.#wait();
    } else this.#settles.delete(desired.key);
    if (after === undefined || after === before) return;
    this.#put(desired.key, after);
    this.#wait();
    if (after.failed === undefined || after.failed === before?.failed) return;
    this.#options.event({
      object: `Pod/${desired.key}`,
      podUid: state.uid,
      type: "Warning",
      reason: "RolledBack",
      message: `The changed pod did not become ready within ${after.failed.seconds} s: it goes back to the version that was ready last, until its manifest changes`,
      at: clock.now(),
    });
    this.#options.onRollback();
  }

  /** With what was rolled back in place of what is written. */
  apply(desired: Desired, trusted: boolean): Desired {
    const pods = new Map(desired.pods);
    for (const [key, facts] of [...this.#facts]) {
      const want = desired.pods.get(key);
      if (want === undefined) {
        if (trusted && !desired.withheld.has(key)) this.#forget(key);
      } else if (facts.failed !== undefined) {
        const id = versionId(want);
        if (id === facts.failed.id && want.pod.metadata.annotations?.[ROLLBACK_ANNOTATION] !== "false") {
          pods.set(key, this.#lastReady(key, facts));
        } else if (id !== facts.ready.id || this.#instead.get(key) !== want) {
          this.#instead.delete(key);
          this.#put(key, { ready: facts.ready });
        }
      }
    }
    return { ...desired, pods };
  }

  close(): void {
    this.#options.clock.clearTimeout(this.#timer);
  }

  #lastReady(key: string, { ready }: VersionFacts): DesiredPod {
    const known = this.#instead.get(key);
    if (known !== undefined && versionId(known) === ready.id) return known;
    const made = parseAccepted(ready.text);
    this.#instead.set(key, made);
    return made;
  }

  #put(key: string, facts: VersionFacts): void {
    this.#facts.set(key, facts);
    try {
      this.#options.store.put(key, JSON.stringify(facts));
    } catch (error) {
      this.#options.log.warn({ pod: key, reason: messageOf(error) }, "the version of a pod can't be kept");
    }
  }

  #forget(key: string): void {
    if (!this.#facts.delete(key)) return;
    this.#instead.delete(key);
    this.#options.store.remove(key);
  }

  /** Looks again when the next deadline is over. */
  #wait(): void {
    const { clock, supervisor } = this.#options;
    const deadlines = [...this.#facts.values()].flatMap(({ trying }) => (trying === undefined ? [] : [trying.until]));
    const times = [...deadlines, ...this.#settles.values()];
    clock.clearTimeout(this.#timer);
    if (times.length === 0) return;
    this.#timer = clock.setTimeout(
      () => {
        this.#settles.clear();
        for (const state of supervisor.list()) this.look(state);
        this.#wait();
      },
      Math.min(2 ** 30, Math.max(50, Math.min(...times) - clock.now())),
    );
  }
}

/** ms since the epoch; undefined while it is not ready. One that has succeeded has been all it could be. */
export function readySince(state: PodState): number | undefined {
  if (phaseOf(state) === "Succeeded") return 0;
  const ready = conditionsOf(state).find(({ type, status }) => type === "Ready" && status === "True");
  return ready === undefined ? undefined : Date.parse(ready.lastTransitionTime);
}
