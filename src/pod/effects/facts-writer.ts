import type { ContainerFacts, PodFacts, StateStore } from "../../store/contract.ts";
import type { FactsByName } from "../rules/exits.ts";

/** Writes the facts of one pod; what was written already (the same object) is not written again. */
export class FactsWriter {
  readonly #store: StateStore;
  readonly #uid: string;
  #pod: PodFacts | undefined;
  readonly #containers = new Map<string, ContainerFacts>();
  #closed = false;

  constructor(store: StateStore, uid: string) {
    this.#store = store;
    this.#uid = uid;
  }

  /** @throws disk-full, state-damaged; what could not be written is tried again by the next call */
  save(pod: PodFacts, containers: FactsByName): void {
    this.savePod(pod);
    for (const facts of Object.values(containers)) this.saveContainer(facts);
    for (const name of this.#containers.keys()) {
      if (containers[name] !== undefined || this.#closed) continue;
      this.#store.containers.remove(this.#uid, name);
      this.#containers.delete(name);
    }
  }

  savePod(pod: PodFacts): void {
    if (this.#closed || this.#pod === pod) return;
    this.#store.pods.put(pod);
    this.#pod = pod;
  }

  saveContainer(facts: ContainerFacts): void {
    if (this.#closed || this.#containers.get(facts.name) === facts) return;
    this.#store.containers.put(facts);
    this.#containers.set(facts.name, facts);
  }

  /** The pod is gone: nothing is written from here on. */
  removePod(): void {
    this.#store.pods.remove(this.#uid);
    this.#closed = true;
  }
}
