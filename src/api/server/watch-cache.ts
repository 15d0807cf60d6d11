/** One change, as every watch of the collection sees it. */
export interface Change<T> {
  readonly version: number;
  readonly type: "ADDED" | "MODIFIED" | "DELETED";
  readonly object: T;
  /** What it was before: a watch with a selector needs it to tell whether the object has just left or entered. */
  readonly previous: T | undefined;
  /** The line sent for it, by event type; made once, however many watch. */
  readonly lines: Map<string, Buffer>;
}

/**
 * The latest changes of a collection. Watches pull from it at their own speed, so that a slow one holds no memory
 * but falls behind the oldest change kept, and ends there.
 */
export class WatchCache<T> {
  readonly #capacity: number;
  readonly #changes: Change<T>[] = [];
  readonly #listeners = new Set<() => void>();
  #dropped = 0;
  #version: number;
  #oldest: number;

  /** @param version where the collection stands now @param capacity changes kept, at least */
  constructor(version: number, capacity: number) {
    this.#capacity = capacity;
    this.#version = version;
    this.#oldest = version;
  }

  /** The same changes of objects in another form. */
  mapped<U>(form: (object: T) => U): WatchCache<U> {
    const other = new WatchCache<U>(this.#version, this.#capacity);
    let next = this.end;
    this.subscribe(() => {
      for (let change = this.at(next); change !== undefined; change = this.at(++next)) {
        const { type, object, version, previous } = change;
        other.add(type, form(object), version, previous === undefined ? undefined : form(previous));
      }
    });
    return other;
  }

  /** The resourceVersion of a list made now. */
  get version(): number {
    return this.#version;
  }

  /** The position after the newest change. */
  get end(): number {
    return this.#dropped + this.#changes.length;
  }

  /** Positions before this one are gone. */
  get start(): number {
    return this.#dropped;
  }

  /** @param previous what the object was before; undefined when it is new */
  add(type: Change<T>["type"], object: T, version: number, previous: T | undefined): void {
    this.#version = Math.max(this.#version, version);
    this.#changes.push({ version, type, object, previous, lines: new Map() });
    // Dropped in batches: shifting one by one would move the whole array each time.
    if (this.#changes.length >= this.#capacity * 1.25) {
      const gone = this.#changes.splice(0, this.#changes.length - this.#capacity);
      this.#dropped += gone.length;
      this.#oldest = gone.at(-1)?.version ?? this.#oldest;
    }
    for (const listener of this.#listeners) listener();
  }

  at(position: number): Change<T> | undefined {
    return this.#changes[position - this.#dropped];
  }

  /** Where a watch that knows everything up to `version` goes on; undefined when that is no longer, or not, known. */
  positionAfter(version: number): number | undefined {
    if (version < this.#oldest || version > this.#version) return undefined;
    const index = this.#changes.findIndex((change) => change.version > version);
    return index < 0 ? this.end : this.#dropped + index;
  }

  /** Calls back after each change. Returns the function that ends it. */
  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }
}
