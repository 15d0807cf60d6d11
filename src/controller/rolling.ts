/** The numbers of a rolling update (k8s.io/kubernetes/pkg/controller/deployment, util and rolling.go). Pure. */

/** How many pods "25%" of `total` are. */
export function share(value: number | string, total: number, round: "up" | "down"): number {
  if (typeof value === "number") return value;
  const exact = (Number.parseInt(value, 10) * total) / 100;
  return round === "up" ? Math.ceil(exact) : Math.floor(exact);
}

export interface Room {
  readonly maxSurge: number;
  readonly maxUnavailable: number;
}

/** maxSurge is rounded up, maxUnavailable down; if both come to nothing, one pod may be unavailable. */
export function roomOf(
  { maxSurge, maxUnavailable }: { readonly maxSurge: number | string; readonly maxUnavailable: number | string },
  replicas: number,
): Room {
  const surge = share(maxSurge, replicas, "up");
  const unavailable = Math.min(share(maxUnavailable, replicas, "down"), replicas);
  return surge === 0 && unavailable === 0
    ? { maxSurge: 0, maxUnavailable: 1 }
    : { maxSurge: surge, maxUnavailable: unavailable };
}

export interface SetNumbers {
  readonly key: string;
  /** What it is told to keep. */
  readonly replicas: number;
  readonly available: number;
}

/**
 * How many pods each set is to have next: the new one grows as far as the surge allows, the old ones, oldest first,
 * shrink as far as enough pods are available; unavailable old ones go first.
 */
export function rollingStep(
  wanted: number,
  fresh: SetNumbers,
  old: readonly SetNumbers[],
  room: Room,
): ReadonlyMap<string, number> {
  const next = new Map([fresh, ...old].map(({ key, replicas }) => [key, replicas]));
  const all = sum([fresh, ...old].map(({ replicas }) => replicas));
  if (fresh.replicas > wanted) next.set(fresh.key, wanted);
  else {
    const grow = Math.min(wanted + room.maxSurge - all, wanted - fresh.replicas);
    if (grow > 0) {
      next.set(fresh.key, fresh.replicas + grow);
      return next;
    }
  }
  const minAvailable = wanted - room.maxUnavailable;
  let spare = all - minAvailable - Math.max(0, fresh.replicas - fresh.available);
  const take = (key: string, most: number): number => {
    const have = next.get(key) ?? 0;
    const taken = Math.max(0, Math.min(most, have));
    next.set(key, have - taken);
    return taken;
  };
  for (const { key, replicas, available } of old) spare -= take(key, Math.min(spare, replicas - available));
  let dispensable = Math.min(spare, sum([fresh, ...old].map(({ available }) => available)) - minAvailable);
  for (const { key } of old) dispensable -= take(key, dispensable);
  return next;
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}
