import { parseCriLine } from "./cri.ts";
import type { LogSource } from "./files.ts";

/** Something without newlines is no log; it is shown in pieces of this. Bytes. */
export const MAX_LINE_BYTES = 1024 * 1024;

const CHUNK_BYTES = 64 * 1024;
const NEWLINE = 0x0a;

/**
 * Finds where the last `lines` lines of a file begin, reading it backwards from its end and no further than needed.
 * A line is one of the app's: partial CRI lines count together with the one that ends them.
 * @returns the offset in bytes, or how many lines are still wanted from the file before this one
 */
export async function findTail(source: LogSource, lines: number): Promise<{ offset: number } | { missing: number }> {
  const size = await source.size();
  let left = lines;
  let end = size;
  /** The beginning of a line whose own beginning has not been reached yet, nearest the end last. */
  let rest: Buffer = Buffer.alloc(0);
  /** What stands after the line in hand. */
  let after: LineKind | "nothing" = "nothing";
  /** True when a line of the app ends here: partial ones go on in the next, if that is a CRI line too. */
  const endsLine = (line: Buffer): boolean => {
    const kind = kindOf(line);
    const ends = kind !== "partial" || after === "nothing" || after === "foreign";
    after = kind;
    return ends;
  };
  while (end > 0) {
    const length = Math.min(CHUNK_BYTES, end);
    const chunk = Buffer.alloc(length);
    const start = end - length;
    const got = await source.read(chunk, start);
    const data = Buffer.concat([chunk.subarray(0, got), rest]);
    // Each newline ends one line; what follows it up to `lineEnd` is a whole line, which begins at `lineStart`.
    let lineEnd = data.length;
    for (let at = data.lastIndexOf(NEWLINE, data.length - 1); at >= 0; ) {
      const line = data.subarray(at + 1, lineEnd);
      if (line.length > 0) {
        if (endsLine(line)) left -= 1;
        if (left < 0) return { offset: Math.min(start + lineEnd + 1, size) };
      }
      lineEnd = at;
      at = at === 0 ? -1 : data.lastIndexOf(NEWLINE, at - 1);
    }
    rest = data.subarray(0, lineEnd);
    end = start;
    if (rest.length <= MAX_LINE_BYTES) continue;
    // Something without newlines: each piece counts as a line, as it is read as one.
    if (endsLine(rest)) left -= 1;
    if (left < 0) return { offset: start + rest.length };
    rest = Buffer.alloc(0);
  }
  if (rest.length > 0 && endsLine(rest)) left -= 1;
  if (left < 0) return { offset: Math.min(rest.length + 1, size) };
  return left === 0 ? { offset: 0 } : { missing: left };
}

type LineKind = "full" | "partial" | "foreign";

function kindOf(line: Buffer): LineKind {
  const parsed = parseCriLine(line);
  if (parsed === undefined) return "foreign";
  return parsed.partial ? "partial" : "full";
}
