/** When the node is under pressure, as the kubelet decides it (pkg/kubelet/eviction/helpers.go). Pure. */

/** What is watched; the kubelet's memory.available, nodefs.available … */
export const SIGNALS = [
  "memoryAvailable",
  "nodefsAvailable",
  "nodefsInodesFree",
  "imagefsAvailable",
  "imagefsInodesFree",
] as const;
export type Signal = (typeof SIGNALS)[number];

/** Bytes, or inodes. */
export interface Observation {
  readonly available: number;
  readonly capacity: number;
}

/** What can't be observed is no reason for anything. */
export type Observations = Partial<Readonly<Record<Signal, Observation>>>;

/** "100Mi", "10%", a number; "0" or "0%" turns a threshold off. */
export type Amounts = Readonly<Record<Signal, string>>;

export interface PressureSettings {
  readonly thresholds: Amounts;
  /** Once a threshold is met, so much more than it is wanted. */
  readonly minimumReclaim: Amounts;
  /** How long a condition goes on after its last reason, ms. */
  readonly transitionMs: number;
}

export interface Pressure {
  /** Signals below their threshold now, or not yet so much above it as is wanted. */
  readonly met: ReadonlySet<Signal>;
  /** When each was met last, ms since the epoch. */
  readonly metAt: Partial<Readonly<Record<Signal, number>>>;
  readonly memory: Condition;
  readonly disk: Condition;
}

export interface Condition {
  readonly holds: boolean;
  /** When it became what it is, ms since the epoch. */
  readonly since: number;
}

export function noPressure(now: number): Pressure {
  const condition = { holds: false, since: now };
  return { met: new Set(), metAt: {}, memory: condition, disk: condition };
}

const UNITS: Readonly<Record<string, number>> = { "": 1, Ki: 2 ** 10, Mi: 2 ** 20, Gi: 2 ** 30, Ti: 2 ** 40 };

/** In bytes or inodes; undefined for a text that is no amount. */
export function amountOf(text: string, capacity: number): number | undefined {
  const percent = /^(\d{1,2}(?:\.\d{1,3})?)%$/.exec(text)?.[1];
  if (percent !== undefined) return Math.floor((capacity * Number(percent)) / 100);
  const [, number, unit = ""] = /^(\d{1,15})(Ki|Mi|Gi|Ti)?$/.exec(text) ?? [];
  return number === undefined ? undefined : Number(number) * (UNITS[unit] ?? 1);
}

export function thresholdOf(signal: Signal, { capacity }: Observation, { thresholds }: PressureSettings): number {
  return amountOf(thresholds[signal], capacity) ?? 0;
}

/** What a look finds, after what the one before it found. */
export function pressureAfter(before: Pressure, seen: Observations, settings: PressureSettings, now: number): Pressure {
  const met = new Set(
    SIGNALS.filter((signal) => {
      const observation = seen[signal];
      if (observation === undefined) return false;
      const threshold = thresholdOf(signal, observation, settings);
      const more = before.met.has(signal) ? (amountOf(settings.minimumReclaim[signal], observation.capacity) ?? 0) : 0;
      return threshold > 0 && observation.available < threshold + more;
    }),
  );
  const metAt = { ...before.metAt, ...Object.fromEntries([...met].map((signal) => [signal, now])) };
  const condition = (was: Condition, of: (signal: Signal) => boolean): Condition => {
    const holds = SIGNALS.some((signal) => {
      const at = metAt[signal];
      return of(signal) && at !== undefined && (met.has(signal) || now - at < settings.transitionMs);
    });
    return holds === was.holds ? was : { holds, since: now };
  };
  return {
    met,
    metAt,
    memory: condition(before.memory, isMemory),
    disk: condition(before.disk, (signal) => !isMemory(signal)),
  };
}

export function isMemory(signal: Signal): boolean {
  return signal === "memoryAvailable";
}

/** Names of the conditions that hold, as a Node has them. */
export function conditionNames({ memory, disk }: Pressure): string[] {
  return [...(memory.holds ? ["MemoryPressure"] : []), ...(disk.holds ? ["DiskPressure"] : [])];
}

/** What they mean for pods that have not started yet, in a word. Short of memory alone, who requests some may start. */
export function whoWaits(conditions: readonly string[]): string {
  return conditions.includes("DiskPressure") ? "no pods start" : "no BestEffort pods start";
}
