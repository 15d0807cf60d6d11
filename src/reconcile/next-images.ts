/** The images of a running pod's next version: pulled beside everything else, while the old version goes on. */
import type { Container, Pod } from "../manifest/index.ts";
import type { PlanStep } from "../plan.ts";
import { retryDelay } from "../pod/rules/backoff.ts";
import type { Clock } from "../system/clock.ts";
import { isGantryError, messageOf } from "../system/errors.ts";

export interface NextImagesPorts {
  /** Makes sure that the container's image is here, pulled as its policy says. */
  readonly ensure: (pod: Pod, container: Container, signal: AbortSignal) => Promise<unknown>;
  /** An image has come: look at the pod again. */
  readonly again: (key: string) => void;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

type EnsureStep = PlanStep & { readonly type: "ensure-images" };
type State =
  | { readonly type: "coming" }
  | { readonly type: "here" }
  | { readonly type: "failed"; readonly failures: number; readonly until: number; readonly why: string };

export interface MissingImage {
  readonly image: string;
  /** Undefined while it is being pulled. */
  readonly why: string | undefined;
}

/** Of one version of one pod. */
interface Version {
  readonly desired: EnsureStep["desired"];
  readonly states: Map<string, State>;
  readonly stop: AbortController;
}

/** Remembers, for each pod, the version that is being prepared; another version calls off what the last one wanted. */
export class NextImages {
  readonly #ports: NextImagesPorts;
  readonly #versions = new Map<string, Version>();

  constructor(ports: NextImagesPorts) {
    this.#ports = ports;
  }

  /** What of the step's images is not here yet; begins to bring it in. Forgets the pod when all of it is. */
  missing({ key, desired, images }: EnsureStep): readonly MissingImage[] {
    const version = this.#versionOf(key, desired);
    const containers = [...(desired.pod.spec.initContainers ?? []), ...desired.pod.spec.containers];
    const missing = containers
      .filter(({ image }) => images.includes(image))
      .flatMap((container) => this.#look(key, version, container));
    if (missing.length === 0) this.#versions.delete(key);
    return missing;
  }

  /** Nothing of the pod is wanted any more. */
  forget(key: string): void {
    this.#versions.get(key)?.stop.abort();
    this.#versions.delete(key);
  }

  /** When the next failed one is to be tried again, ms from now; undefined when none waits for that. */
  retryInMs(key: string): number | undefined {
    const states = [...(this.#versions.get(key)?.states.values() ?? [])];
    const times = states.flatMap((state) => (state.type === "failed" ? [state.until - this.#ports.clock.now()] : []));
    return times.length === 0 ? undefined : Math.max(0, Math.min(...times));
  }

  /** Images were imported, or a Secret changed: what failed may be tried at once. */
  retryNow(): void {
    for (const { states } of this.#versions.values()) {
      for (const [name, state] of states) if (state.type === "failed") states.set(name, { ...state, until: 0 });
    }
  }

  #versionOf(key: string, desired: EnsureStep["desired"]): Version {
    const known = this.#versions.get(key);
    if (known?.desired === desired) return known;
    known?.stop.abort();
    const version = { desired, states: new Map<string, State>(), stop: new AbortController() };
    this.#versions.set(key, version);
    return version;
  }

  #look(key: string, version: Version, container: Container): MissingImage[] {
    const { name, image } = container;
    const state = version.states.get(name);
    if (state?.type === "here") return [];
    if (state?.type === "coming") return [{ image, why: undefined }];
    if (state?.type === "failed" && state.until > this.#ports.clock.now()) return [{ image, why: state.why }];
    this.#begin(key, version, container, state?.failures ?? 0);
    return [{ image, why: state?.why }];
  }

  #begin(key: string, { desired, states, stop }: Version, container: Container, failures: number): void {
    const { ensure, again, clock, signal } = this.#ports;
    states.set(container.name, { type: "coming" });
    ensure(desired.pod, container, AbortSignal.any([signal, stop.signal])).then(
      () => {
        states.set(container.name, { type: "here" });
        again(key);
      },
      (error: unknown) => {
        if (stop.signal.aborted || signal.aborted) return;
        const why =
          isGantryError(error) && error.hint !== undefined ? `${error.message}: ${error.hint}` : messageOf(error);
        const until = clock.now() + retryDelay(failures);
        states.set(container.name, { type: "failed", failures: failures + 1, until, why });
        again(key);
      },
    );
  }
}
