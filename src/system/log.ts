import { type DestinationStream, type Logger, pino } from "pino";

export type { Logger } from "pino";

export type LogLevel = "debug" | "info" | "warn" | "error";

export interface LogOptions {
  readonly level: LogLevel;
  /** Human-readable lines instead of JSON; the caller decides (a terminal, or a flag). */
  readonly pretty: boolean;
  readonly destination?: DestinationStream;
}

/** The daemon's log. Child loggers carry `pod` and `reconcileId`. */
export async function createLogger(options: LogOptions): Promise<Logger> {
  if (!options.pretty) return pino({ level: options.level, base: null }, options.destination ?? pino.destination(2));
  // Loaded only where a person looks on: it costs memory that an unattended daemon can do without.
  const { default: pretty } = await import("pino-pretty");
  const stream = pretty({
    destination: 2,
    ignore: "pid,hostname",
    translateTime: "SYS:HH:MM:ss.l",
    colorize: process.stderr.isTTY,
  });
  return pino({ level: options.level, base: null }, options.destination ?? stream);
}

/** A logger that says nothing, for tests and for commands that print by themselves. */
export function silentLogger(): Logger {
  return pino({ level: "silent" });
}
