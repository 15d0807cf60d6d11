/** Bytes of a file to text: what is no text, or too much of it, is refused here. */
import { isUtf8 } from "node:buffer";
import type { Issue } from "../issue.ts";

/** Bytes; etcd's limit for one object is 1.5 MiB, and nobody writes larger manifests by hand. */
export const DEFAULT_SIZE_LIMIT = 1024 * 1024;

export type Decoded =
  | { readonly text: string }
  | { readonly issue: Issue; readonly line: number; readonly column: number };

function refuse(message: string, hint: string, line = 1, column = 1): Decoded {
  return { issue: { severity: "error", path: [], message, hint }, line, column };
}

/** What a file that is larger than `limit` bytes gets; it is not even read. */
export function tooLarge(size: number, limit: number): Decoded & { readonly issue: Issue } {
  return {
    issue: {
      severity: "error",
      path: [],
      message: `the file has ${size} bytes; a manifest may have at most ${limit}`,
      hint: "split it into several files, or move data that is no manifest out of this folder",
    },
    line: 1,
    column: 1,
  };
}

/** The text of a manifest file, without its byte order mark. */
export function decode(bytes: Uint8Array): Decoded {
  if ((bytes[0] === 0xff && bytes[1] === 0xfe) || (bytes[0] === 0xfe && bytes[1] === 0xff)) {
    return refuse("the file is UTF-16, not UTF-8", "save it as UTF-8");
  }
  const zero = bytes.indexOf(0);
  if (zero >= 0)
    return refuseAt(bytes, zero, "the file is binary: it has a NUL byte here", "only text files are manifests");
  if (!isUtf8(bytes)) return refuseAt(bytes, firstInvalid(bytes), "the file is not valid UTF-8", "save it as UTF-8");
  return { text: new TextDecoder("utf-8").decode(bytes) };
}

function refuseAt(bytes: Uint8Array, offset: number, message: string, hint: string): Decoded {
  let line = 1;
  let start = 0;
  for (let at = bytes.indexOf(10); at >= 0 && at < offset; at = bytes.indexOf(10, at + 1)) {
    line += 1;
    start = at + 1;
  }
  const column = new TextDecoder("utf-8").decode(bytes.subarray(start, offset)).length + 1;
  return refuse(message, hint, line, column);
}

/** The offset of the first byte that belongs to no character. Decoding puts U+FFFD there, and reads no byte before it otherwise. */
function firstInvalid(bytes: Uint8Array): number {
  const text = new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes);
  let offset = 0;
  for (const [index, part] of text.split("\ufffd").entries()) {
    if (index > 0) {
      // The text may hold the character U+FFFD itself.
      if (!isUtf8(bytes.subarray(offset, offset + 3)) || bytes[offset] !== 0xef) return offset;
      offset += 3;
    }
    offset += Buffer.byteLength(part);
  }
  return offset;
}
