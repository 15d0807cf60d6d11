import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { createReadStream, createWriteStream } from "node:fs";
import { open } from "node:fs/promises";
import { type Readable, Transform, type Writable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createGunzip, createZstdDecompress } from "node:zlib";
import { errnoOf, GantryError, isGantryError, messageOf, toGantryError } from "../system/errors.ts";
import { formatBytes, tooBig } from "./limits.ts";
import { installHint } from "./tools.ts";

export type Compression = "gzip" | "zstd" | "xz" | "bzip2";

const MAGIC: readonly (readonly [Compression, readonly number[]])[] = [
  ["gzip", [0x1f, 0x8b]],
  ["zstd", [0x28, 0xb5, 0x2f, 0xfd]],
  ["xz", [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00]],
  ["bzip2", [0x42, 0x5a, 0x68]],
];
const CHUNK_BYTES = 256 * 1024;

/** How something is compressed, told by its first bytes. */
export function compressionOf(head: Uint8Array): Compression | undefined {
  return MAGIC.find(([, magic]) => magic.every((byte, at) => head[at] === byte))?.[0];
}

/** The first `length` bytes of a file (fewer when it is shorter). */
export async function readHead(file: string, length: number): Promise<Buffer> {
  const handle = await open(file, "r");
  try {
    const buffer = Buffer.alloc(length);
    let filled = 0;
    while (filled < length) {
      const { bytesRead } = await handle.read(buffer, filled, length - filled, filled);
      if (bytesRead === 0) break;
      filled += bytesRead;
    }
    return buffer.subarray(0, filled);
  } finally {
    await handle.close();
  }
}

export interface Written {
  readonly bytes: number;
  /** "sha256:…" of what was written. */
  readonly digest: string;
}

/**
 * Writes `from` to `out` and ends it, decompressed when `compression` says so, counting and hashing on the way.
 * @param maxBytes more than this is refused, so that a small file can't fill the disk
 * @throws GantryError image-invalid (damaged, too big), disk-full, cancelled, command-missing
 */
export async function decompressTo(
  from: Readable,
  compression: Compression | undefined,
  out: Writable,
  maxBytes: number,
  signal: AbortSignal,
): Promise<Written> {
  const hash = createHash("sha256");
  let bytes = 0;
  const meter = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      bytes += chunk.length;
      if (bytes > maxBytes) return done(tooBig(`it is larger than ${formatBytes(maxBytes)}`, formatBytes(maxBytes)));
      hash.update(chunk);
      return done(null, chunk);
    },
  });
  try {
    switch (compression) {
      case undefined:
        await pipeline(from, meter, out, { signal });
        break;
      case "gzip":
        await pipeline(from, createGunzip({ chunkSize: CHUNK_BYTES }), meter, out, { signal });
        break;
      case "zstd":
        await pipeline(from, createZstdDecompress({ chunkSize: CHUNK_BYTES }), meter, out, { signal });
        break;
      case "xz":
      case "bzip2":
        await pipeThrough(compression, from, meter, out, signal);
        break;
    }
  } catch (error) {
    throw decompressionError(error, compression, signal);
  }
  return { bytes, digest: `sha256:${hash.digest("hex")}` };
}

/** `decompressTo` into the new file `to`. */
export async function writeStream(
  from: Readable,
  compression: Compression | undefined,
  to: string,
  maxBytes: number,
  signal: AbortSignal,
): Promise<Written> {
  return await decompressTo(from, compression, createWriteStream(to, { flags: "wx", mode: 0o600 }), maxBytes, signal);
}

/** Reads a file in pieces that suit a decompressor. */
export function readPieces(file: string): Readable {
  return createReadStream(file, { highWaterMark: CHUNK_BYTES });
}

/** `writeStream` for a file. */
export async function writeFileStream(
  from: string,
  compression: Compression | undefined,
  to: string,
  maxBytes: number,
  signal: AbortSignal,
): Promise<Written> {
  return await writeStream(readPieces(from), compression, to, maxBytes, signal);
}

/** Node.js has no decoder for these two: their own tools do it. */
async function pipeThrough(
  command: "xz" | "bzip2",
  from: Readable,
  meter: Transform,
  out: Writable,
  signal: AbortSignal,
): Promise<void> {
  const tool = spawn(command, ["--decompress", "--stdout"], { stdio: ["pipe", "pipe", "pipe"] });
  let said = "";
  tool.stderr.on("data", (chunk: Buffer) => {
    if (said.length < 4096) said += chunk.toString("utf8");
  });
  const ended = new Promise<void>((resolve, reject) => {
    tool.once("error", (cause) =>
      reject(
        errnoOf(cause) === "ENOENT"
          ? new GantryError("command-missing", `${command} is not installed`, { cause, hint: installHint(command) })
          : cause,
      ),
    );
    tool.once("close", (code) =>
      code === 0
        ? resolve()
        : reject(new Error(said.trim().split("\n")[0] || `${command} ended with exit code ${code}`)),
    );
  });
  const feed = pipeline(from, tool.stdin, { signal });
  const drain = pipeline(tool.stdout, meter, out, { signal });
  // Nobody takes any more of it; after its last byte it ends by itself.
  drain.catch(() => tool.kill("SIGKILL"));
  const results = await Promise.allSettled([drain, ended, feed]);
  const [drained, finished] = results;
  // The tool's own words say more than the broken pipes that follow from its end; only our limit comes first.
  if (drained.status === "rejected" && isGantryError(drained.reason)) throw drained.reason;
  for (const result of [finished, ...results]) if (result.status === "rejected") throw result.reason;
}

function decompressionError(error: unknown, compression: Compression | undefined, signal: AbortSignal): GantryError {
  if (error instanceof GantryError) return error;
  if (signal.aborted)
    return new GantryError("cancelled", "reading the image was cancelled", { kind: "system", cause: error });
  const errno = errnoOf(error);
  if (errno === "ENOSPC" || errno === "EDQUOT") return toGantryError(error, "disk-full", "cannot write the image");
  if (compression === undefined) return toGantryError(error, "image-invalid", "cannot read the image");
  return new GantryError("image-invalid", `the ${compression} data is damaged or cut short: ${messageOf(error)}`, {
    cause: error,
    hint: "Copy or save the file again, and compare its size with the original's.",
  });
}
