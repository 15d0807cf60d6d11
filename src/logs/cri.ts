/**
 * The CRI log format: `<RFC3339Nano> <stdout|stderr> <P|F> <text>\n`
 * (kubernetes/design-proposals, kubelet-cri-logging.md). Pure.
 */
export interface CriLine {
  /** As written, with nanoseconds and offset. */
  readonly time: string;
  readonly stream: "stdout" | "stderr";
  /** P: the next line of this stream goes on with it. */
  readonly partial: boolean;
  readonly text: Buffer;
}

const SPACE = 0x20;
/** "2026-01-31T12:00:00.123456789+01:00" has 35. Bytes. */
const MAX_TIME_LENGTH = 40;
const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)$/;

/** @param line one line without its newline @returns undefined when it is in another format */
export function parseCriLine(line: Buffer): CriLine | undefined {
  const timeEnd = line.subarray(0, MAX_TIME_LENGTH).indexOf(SPACE);
  if (timeEnd < 0) return undefined;
  const streamEnd = timeEnd + 7;
  const stream = line.toString("latin1", timeEnd + 1, streamEnd);
  if ((stream !== "stdout" && stream !== "stderr") || line[streamEnd] !== SPACE) return undefined;
  // More tags may follow the first one, with a colon between.
  const rest = line.indexOf(SPACE, streamEnd + 1);
  const tagsEnd = rest < 0 ? line.length : rest;
  const tag = line.toString("latin1", streamEnd + 1, tagsEnd).split(":", 1)[0];
  if (tag !== "P" && tag !== "F") return undefined;
  const time = line.toString("latin1", 0, timeEnd);
  if (!TIME.test(time)) return undefined;
  return { time, stream, partial: tag === "P", text: line.subarray(Math.min(tagsEnd + 1, line.length)) };
}

/** ms since the epoch; the nanoseconds below are cut off. */
export function timeOf(line: CriLine): number {
  return Date.parse(line.time);
}
