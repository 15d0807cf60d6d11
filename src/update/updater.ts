import type { Image, ImageStore } from "../image/contract.ts";
import type { Secret } from "../manifest/index.ts";
import type { PodState, PodSupervisor } from "../pod/contract.ts";
import { pullSecretsFor } from "../pod/rules/pull-secrets.ts";
import type { StateStore, UpdateFacts } from "../store/contract.ts";
import type { Clock, TimerHandle } from "../system/clock.ts";
import { isGantryError, messageOf } from "../system/errors.ts";
import type { Logger } from "../system/log.ts";
import { deadlineMs, wantsUpdates } from "./annotations.ts";
import { isUpdatable, judge, pinOf, sentenceOf, short } from "./rules.ts";

export interface UpdaterOptions {
  readonly supervisor: Pick<PodSupervisor, "list" | "restart">;
  readonly images: Pick<ImageStore, "pull">;
  readonly store: Pick<StateStore, "updates">;
  readonly secret: (namespace: string, name: string) => Secret | undefined;
  /** Whether a manifest asks for the pod; true while that can't be told. */
  readonly isWanted: (key: string) => boolean;
  readonly event: (pod: PodState, type: "Normal" | "Warning", reason: string, message: string) => void;
  /** Something that `notes` says about the pod is different now. */
  readonly onChange: (uid: string) => void;
  readonly clock: Clock;
  readonly log: Logger;
  /** ms between two looks into the registries. */
  readonly intervalMs: number;
  /** ms that a new image has to become ready, for pods that say nothing else. */
  readonly deadlineMs: number;
  /** ms that it must have been running and ready. */
  readonly settleMs: number;
}

export interface Updater {
  start(): void;
  /** Looks into the registries now. */
  look(): Promise<void>;
  /** The digest that a container must run instead of what its image's name means now. */
  pinned(key: string, container: string, image: string): string | undefined;
  /** Digests that may be needed again. */
  held(): string[];
  /** What is to be said about the updates of a pod. */
  notes(key: string): string[];
  close(): Promise<void>;
}

/** How long between two looks at what is being rolled, ms. */
const WATCH_MS = 1000;

/**
 * Keeps the pods that ask for it at what their tags mean in the registries. One pod after the other: a bad image is
 * found out by the first, and the rest is spared. Facts are written before deeds, so that a new daemon goes on.
 */
export function createUpdater(options: UpdaterOptions): Updater {
  const { supervisor, images, store, clock, log } = options;
  const stopping = new AbortController();
  const facts = new Map(store.updates.list().map((one) => [idOf(one.key, one.container), one]));
  let lookTimer: TimerHandle | undefined;
  let watchTimer: TimerHandle | undefined;
  let looking: Promise<void> | undefined;
  let wake: () => void = () => undefined;

  const put = (pod: PodState, one: UpdateFacts): void => {
    store.updates.put(one);
    facts.set(idOf(one.key, one.container), one);
    options.onChange(pod.uid);
  };
  const drop = (key: string, container: string, uid?: string): void => {
    store.updates.remove(key, container);
    facts.delete(idOf(key, container));
    if (uid !== undefined) options.onChange(uid);
  };
  const ofPod = (key: string): UpdateFacts[] => [...facts.values()].filter((one) => one.key === key);
  const isRolling = (key: string): boolean => ofPod(key).some(({ state }) => state === "rolling");

  /** Facts about what nobody asks for any more. */
  const prune = (): void => {
    const pods = new Map(supervisor.list().map((pod) => [pod.desired.key, pod]));
    for (const one of [...facts.values()]) {
      const pod = pods.get(one.key);
      if (pod === undefined) {
        // One that is only replaced comes again, with the same image.
        if (!options.isWanted(one.key)) drop(one.key, one.container);
        continue;
      }
      const container = pod.containers.find(({ name }) => name === one.container);
      if (container?.image !== one.image || !wantsUpdates(pod.desired.pod.metadata.annotations))
        drop(one.key, one.container, pod.uid);
    }
  };

  const pull = async (pod: PodState, image: string): Promise<Image | undefined> => {
    const { namespace } = pod.desired.pod.metadata;
    const { credentials } = pullSecretsFor(pod.desired.pod, image, (name) => options.secret(namespace, name));
    try {
      return await images.pull(image, { credentials, signal: stopping.signal });
    } catch (error) {
      if (stopping.signal.aborted || isGantryError(error, "cancelled")) return undefined;
      const hint = isGantryError(error) && error.hint !== undefined ? ` ${error.hint}` : "";
      options.event(
        pod,
        "Warning",
        "AutoUpdateFailed",
        `Cannot look for a newer ${image}: ${messageOf(error)}.${hint}`,
      );
      return undefined;
    }
  };

  const check = async (pod: PodState): Promise<void> => {
    const { key } = pod.desired;
    const begun: UpdateFacts[] = [];
    for (const container of pod.containers) {
      const { name, image, imageDigest: from } = container;
      if (!isUpdatable(container) || from === undefined) continue;
      const known = facts.get(idOf(key, name));
      const pulled = await pull(pod, image);
      if (pulled === undefined) continue;
      const to = pulled.digest;
      if (to === from) {
        // The registry has gone back to it by itself.
        if (known?.state === "rolled-back") drop(key, name, pod.uid);
        continue;
      }
      if (known?.state === "rolled-back" && known.to === to) continue;
      const now = clock.now();
      const until = now + deadlineMs(pod.desired.pod.metadata.annotations, options.deadlineMs);
      begun.push({ key, container: name, image, state: "rolling", from, to, at: now, deadlineAt: until, reason: "" });
    }
    const still = supervisor.list().find(({ uid }) => uid === pod.uid);
    if (still === undefined || still.deletionDeadline !== undefined || stopping.signal.aborted) return;
    for (const one of begun) {
      put(pod, one);
      const message = `Image ${one.image} is another one in its registry (${short(one.from)} before, ${short(one.to)} now): container ${one.container} is restarted with it`;
      options.event(pod, "Normal", "AutoUpdate", message);
      supervisor.restart(pod.uid, one.container);
    }
    watchLater();
  };

  /** Looks at what is being rolled. */
  const watch = (): void => {
    for (const pod of supervisor.list()) {
      for (const one of ofPod(pod.desired.key)) {
        if (one.state !== "rolling") continue;
        const container = pod.containers.find(({ name }) => name === one.container);
        switch (judge(one, container, options.settleMs, clock.now())) {
          case "wait":
            break;
          case "succeeded":
            drop(one.key, one.container, pod.uid);
            options.event(
              pod,
              "Normal",
              "AutoUpdated",
              `Container ${one.container} is ready with the new ${one.image} (${short(one.to)})`,
            );
            break;
          case "failed":
            rollBack(pod, one);
            break;
        }
      }
    }
    wake();
  };

  const rollBack = (pod: PodState, one: UpdateFacts): void => {
    const seconds = Math.round((one.deadlineAt - one.at) / 1000);
    const reason = `did not become ready within ${seconds} s`;
    put(pod, { ...one, state: "rolled-back", at: clock.now(), reason });
    const message = `The new ${one.image} (${short(one.to)}) ${reason}: container ${one.container} goes back to ${short(one.from)}, until the registry has another one`;
    options.event(pod, "Warning", "AutoUpdateRolledBack", message);
    supervisor.restart(pod.uid, one.container);
  };

  /** Resolves when nothing of the pod is being rolled any more. */
  const settled = async (key: string): Promise<void> => {
    while (isRolling(key) && !stopping.signal.aborted) {
      if (!supervisor.list().some(({ desired }) => desired.key === key)) return;
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
  };

  const lookAll = async (): Promise<void> => {
    prune();
    for (const { uid } of supervisor.list()) {
      const pod = supervisor.list().find((state) => state.uid === uid);
      if (pod === undefined || pod.stage !== "running" || pod.deletionDeadline !== undefined) continue;
      if (!wantsUpdates(pod.desired.pod.metadata.annotations) || stopping.signal.aborted) continue;
      if (!isRolling(pod.desired.key)) await check(pod);
      await settled(pod.desired.key);
    }
  };

  const look = (): Promise<void> => {
    looking ??= lookAll().finally(() => {
      looking = undefined;
    });
    return looking;
  };
  const later = (): void => {
    if (stopping.signal.aborted) return;
    lookTimer = clock.setTimeout(() => {
      look()
        .catch((error: unknown) => log.error({ err: error }, "looking for newer images failed; trying again later"))
        .finally(later);
    }, options.intervalMs);
  };
  const anyRolling = (): boolean => [...facts.values()].some(({ state }) => state === "rolling");
  /** Only while there is something to look at. */
  const watchLater = (): void => {
    if (stopping.signal.aborted || watchTimer !== undefined || !anyRolling()) return;
    watchTimer = clock.setTimeout(() => {
      watchTimer = undefined;
      try {
        watch();
      } catch (error) {
        log.error({ err: error }, "looking after an update failed; trying again");
      }
      watchLater();
    }, WATCH_MS);
  };

  return {
    start() {
      later();
      watchLater();
    },
    look,
    pinned: (key, container, image) => pinOf(facts.get(idOf(key, container)), image),
    held: () => [...facts.values()].flatMap(({ from, to }) => [from, to]),
    notes: (key) => ofPod(key).map(sentenceOf),
    async close() {
      stopping.abort();
      clock.clearTimeout(lookTimer);
      clock.clearTimeout(watchTimer);
      wake();
      await looking?.catch(() => undefined);
    },
  };
}

function idOf(key: string, container: string): string {
  return `${key} ${container}`;
}
