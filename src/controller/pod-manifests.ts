import { describedPod, type LoadedObject, type Pod } from "../manifest/index.ts";
import type { Entries, Entry } from "./entries.ts";
import { controllerOf } from "./names.ts";

/** The pods that controllers want, as if each had a manifest: it stands where its template does. */
export class PodManifests {
  readonly #entries: Entries;
  /** The same object as before for a pod that is as it was: whoever compares sees that at once. */
  #before: ReadonlyMap<string, LoadedObject> = new Map();

  constructor(entries: Entries) {
    this.#entries = entries;
  }

  list(): readonly LoadedObject[] {
    const now = new Map<string, LoadedObject>();
    for (const [key, { object }] of this.#entries.list()) {
      if (object.kind !== "Pod") continue;
      const root = rootOf(object, this.#entries)?.loaded;
      const place = root?.place ?? { file: "", line: 1, column: 1 };
      const before = this.#before.get(key);
      const same = before?.object === object && before.place.file === place.file && before.place.line === place.line;
      const { warnings, stale } = root ?? { warnings: [], stale: false };
      now.set(key, same ? before : { object, place, places: placesIn(root), warnings, stale });
    }
    this.#before = now;
    return [...now.values()];
  }
}

/** Where the fields of a pod stand in the template that it is made from. */
function placesIn(loaded: LoadedObject | undefined): LoadedObject["places"] {
  const path = loaded === undefined ? undefined : describedPod(loaded.object)?.path;
  if (loaded === undefined || path === undefined) return new Map();
  const prefix = path.map((part) => `${part}.`).join("");
  return new Map(
    [...loaded.places].flatMap(([name, place]) =>
      name.startsWith(prefix) ? [[name.slice(prefix.length), place] as const] : [],
    ),
  );
}

/** Who is at the top of the owners: what a manifest has. */
function rootOf(pod: Pod, entries: Entries): Entry | undefined {
  let at: Entry | undefined;
  const { namespace } = pod.metadata;
  for (let owner = controllerOf(pod); owner !== undefined; owner = controllerOf(at.object)) {
    const next = entries.get(`${owner.kind} ${namespace}/${owner.name}`);
    if (next === undefined) return at;
    at = next;
  }
  return at;
}
