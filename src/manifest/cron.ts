/** The schedules of CronJobs, as Kubernetes takes them (robfig/cron, ParseStandard). Pure. */
import { Cron } from "croner";

const DESCRIPTORS: Readonly<Record<string, string>> = {
  "@yearly": "0 0 1 1 *",
  "@annually": "0 0 1 1 *",
  "@monthly": "0 0 1 * *",
  "@weekly": "0 0 * * 0",
  "@daily": "0 0 * * *",
  "@midnight": "0 0 * * *",
  "@hourly": "0 * * * *",
};

const UNITS_MS: Readonly<Record<string, number>> = { h: 3_600_000, m: 60_000, s: 1000 };

/** What of a schedule can be asked. Times are ms since the epoch. */
export interface Schedule {
  /** The first time after `ms`; undefined when there is none. */
  next(ms: number): number | undefined;
  /** The latest time after `from` and not after `now`; undefined when there is none. */
  latest(from: number, now: number): number | undefined;
}

/** @throws RangeError that says what is wrong, to follow the name of the field */
export function parseSchedule(text: string, timeZone: string | undefined): Schedule {
  if (/TZ=/.test(text)) throw new RangeError("can't name a time zone: write it in timeZone");
  const every = /^@every (.+)$/.exec(text)?.[1];
  if (every !== undefined) return everyMs(durationMs(every));
  const pattern = DESCRIPTORS[text] ?? text;
  // What croner knows beyond the standard would mean something else, or nothing, in a cluster.
  if (!/^\S+( \S+){4}$/.test(pattern.trim().replace(/\s+/g, " ")) || /[LW#+]/.test(pattern.replace(/[A-Z]{3,}/gi, "")))
    throw new RangeError(
      'must have five fields such as "*/5 * * * *", or be @hourly, @daily, @weekly, @monthly, @every 1h',
    );
  let cron: Cron;
  try {
    cron = new Cron(pattern, {
      paused: true,
      mode: "5-part",
      ...(timeZone === undefined ? {} : { timezone: timeZone }),
    });
  } catch (error) {
    const why = error instanceof Error ? error.message.replace(/^CronPattern: /, "") : String(error);
    throw new RangeError(`is not a schedule: ${why}`);
  }
  return {
    next: (ms) => cron.nextRun(new Date(ms))?.getTime(),
    latest(from, now) {
      // The time itself counts, and a look back begins just before its reference.
      const at = cron.previousRuns(1, new Date(Math.floor(now / 1000) * 1000 + 1000))[0]?.getTime();
      return at !== undefined && at > from && at <= now ? at : undefined;
    },
  };
}

/** True for the name of a zone in the tz database. */
export function isTimeZone(name: string): boolean {
  if (name === "" || name.toLowerCase() === "local") return false;
  try {
    return new Intl.DateTimeFormat("en", { timeZone: name }).resolvedOptions().timeZone !== undefined;
  } catch {
    return false;
  }
}

function everyMs(step: number): Schedule {
  return {
    next: (ms) => ms + step,
    latest: (from, now) => (now - from < step ? undefined : from + Math.floor((now - from) / step) * step),
  };
}

/** "1h30m". Whole seconds, as robfig/cron rounds. */
function durationMs(text: string): number {
  const parts = [...text.matchAll(/(\d+)([hms])/g)];
  const ms = parts.reduce((sum, [, amount, unit]) => sum + Number(amount) * (UNITS_MS[unit ?? ""] ?? 0), 0);
  if (parts.map(([part]) => part).join("") === text && ms >= 1000) return ms;
  throw new RangeError('must say how often, such as "@every 1h30m"');
}
