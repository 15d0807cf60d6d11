import { readLog } from "./reader.ts";

/**
 * The end of a container's log, for its termination message: the last `maxBytes` bytes of its last `maxLines` lines
 * (FallbackToLogsOnError; the kubelet's limits are the defaults). "" for a log that does not exist.
 */
export async function lastLines(path: string, maxBytes = 2048, maxLines = 80): Promise<string> {
  let end: Buffer = Buffer.alloc(0);
  for await (const chunk of readLog({ path, tail: maxLines })) {
    end = Buffer.concat([end, chunk]);
    if (end.length > maxBytes) end = end.subarray(end.length - maxBytes);
  }
  // Not in the middle of a character: UTF-8 continuation bytes are 10xxxxxx.
  let start = 0;
  if (end.length === maxBytes) while (start < 3 && ((end[start] ?? 0) & 0xc0) === 0x80) start += 1;
  return end.toString("utf8", start);
}
