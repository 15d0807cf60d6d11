/** Reading files that somebody else chose: no matter what they are, it ends, and takes no more memory than allowed. */
import { closeSync, constants, fstatSync, openSync, readSync } from "node:fs";
import { errnoOf } from "../system/errors.ts";

const CHUNK_BYTES = 64 * 1024;

/**
 * The bytes of a regular file, at most `limit` and one more, which tells that there are too many. What a file says of
 * its own size is not believed: files of /proc and /sys say 0, some of them never end, and some make readers wait.
 * @throws Error when it can't be read, is no regular file, or has nothing to read yet
 */
export function readBounded(path: string, limit: number): Buffer {
  // Without O_NONBLOCK, opening a pipe or reading /proc/kmsg would wait for as long as nobody writes.
  const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
  try {
    if (!fstatSync(fd).isFile()) throw new Error("is neither a file nor a folder");
    const chunks: Buffer[] = [];
    let size = 0;
    while (size <= limit) {
      const chunk = Buffer.allocUnsafe(Math.min(CHUNK_BYTES, limit + 1 - size));
      const count = readSync(fd, chunk);
      if (count === 0) break;
      chunks.push(chunk.subarray(0, count));
      size += count;
    }
    return Buffer.concat(chunks);
  } catch (error) {
    if (errnoOf(error) !== "EAGAIN") throw error;
    throw new Error("it is a stream of the kernel, not a file that ends", { cause: error });
  } finally {
    closeSync(fd);
  }
}
