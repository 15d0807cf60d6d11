/** Spans of time as kubectl prints them. Pure. */
const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const YEAR = 365 * DAY;

interface Step {
  /** Used for spans below this, in ms. */
  readonly below: number;
  readonly unit: number;
  readonly suffix: string;
  /** The finer unit shown after it, when it is not zero. */
  readonly rest?: { readonly unit: number; readonly suffix: string };
}

/** The thresholds of kubectl's AGE column (k8s.io/apimachinery, duration.HumanDuration). */
const STEPS: readonly Step[] = [
  { below: 2 * MINUTE, unit: SECOND, suffix: "s" },
  { below: 10 * MINUTE, unit: MINUTE, suffix: "m", rest: { unit: SECOND, suffix: "s" } },
  { below: 3 * HOUR, unit: MINUTE, suffix: "m" },
  { below: 8 * HOUR, unit: HOUR, suffix: "h", rest: { unit: MINUTE, suffix: "m" } },
  { below: 2 * DAY, unit: HOUR, suffix: "h" },
  { below: 8 * DAY, unit: DAY, suffix: "d", rest: { unit: HOUR, suffix: "h" } },
  { below: 2 * YEAR, unit: DAY, suffix: "d" },
  { below: 8 * YEAR, unit: YEAR, suffix: "y", rest: { unit: DAY, suffix: "d" } },
];

const YEARS: Step = { below: Number.POSITIVE_INFINITY, unit: YEAR, suffix: "y" };

/** A span of `ms` as kubectl prints it: "45s", "5m30s", "3h", "12d". Two seconds in the future still count as now. */
export function formatSpan(ms: number): string {
  if (!Number.isFinite(ms) || ms <= -2 * SECOND) return "<invalid>";
  const span = Math.max(0, ms);
  const step: Step = STEPS.find((candidate) => span < candidate.below) ?? YEARS;
  const whole = `${Math.floor(span / step.unit)}${step.suffix}`;
  if (step.rest === undefined) return whole;
  const rest = Math.floor((span % step.unit) / step.rest.unit);
  return rest === 0 ? whole : `${whole}${rest}${step.rest.suffix}`;
}
