import { createReadStream } from "node:fs";
import { open, readdir, stat } from "node:fs/promises";
import { join, resolve } from "node:path";
import { Readable } from "node:stream";
import { errnoOf, GantryError, toGantryError } from "../system/errors.ts";
import { compressionOf, readHead, writeFileStream, writeStream } from "./compression.ts";
import type { Limits } from "./limits.ts";
import { summarizeTar, type TarSummary } from "./tar.ts";

/** What somebody wants to import, told apart by its content and never by its name. */
export type Source =
  /** The tar that "docker save" makes; `file` is uncompressed. */
  | { readonly kind: "docker-archive"; readonly file: string; readonly contents: TarSummary }
  | { readonly kind: "oci-archive"; readonly file: string; readonly contents: TarSummary }
  | { readonly kind: "oci-layout"; readonly dir: string }
  /** A root filesystem. `owned`: a temporary file that may be moved. */
  | { readonly kind: "rootfs-tar"; readonly file: string; readonly owned: boolean }
  | { readonly kind: "rootfs-dir"; readonly dir: string };

const EXPECTED =
  "Gantry imports a docker-archive (docker save), an OCI archive or layout directory, or a root filesystem as a tar (plain, .gz, .xz, .zst, .bz2) or a directory.";
const HEAD_BYTES = 4096;
const TAR_BLOCK = 512;

/**
 * Looks at `from`, which errors call `shownAs` when it is a stream; a stream or a compressed file is first written to `temp` as a plain file.
 * @throws GantryError not-found, image-invalid, disk-full, cancelled
 */
export async function openSource(
  from: string | NodeJS.ReadableStream,
  shownAs: string,
  temp: string,
  limits: Limits,
  signal: AbortSignal,
): Promise<Source> {
  if (typeof from !== "string") return await openStream(from, shownAs, temp, limits, signal);
  const path = resolve(from);
  const stats = await stat(path).catch((error: unknown) => {
    if (errnoOf(error) === "ENOENT" || errnoOf(error) === "ENOTDIR") {
      throw new GantryError("not-found", `${from}: no such file or directory`, {
        cause: error,
        hint: "Give the path of an image file or directory.",
      });
    }
    throw toGantryError(error, "image-invalid", from);
  });
  if (stats.isDirectory()) return await openDirectory(path);
  if (stats.isFIFO()) return await openStream(createReadStream(path), from, temp, limits, signal);
  if (!stats.isFile()) throw unknown(from, "a device or a socket");
  return await openFile(path, from, false, temp, limits, signal);
}

async function openDirectory(dir: string): Promise<Source> {
  const names = new Set(
    await readdir(dir).catch((error: unknown) => Promise.reject(toGantryError(error, "image-invalid", dir))),
  );
  if (names.size === 0) throw unknown(dir, "an empty directory");
  if (names.has("oci-layout") && names.has("index.json")) return { kind: "oci-layout", dir };
  if (names.has("oci-layout")) throw unknown(dir, "an OCI layout without its index.json");
  if (names.has("manifest.json") && names.has("repositories"))
    throw unknown(dir, "an unpacked docker-archive", "Import the archive itself.");
  return { kind: "rootfs-dir", dir };
}

async function openStream(
  stream: NodeJS.ReadableStream,
  shown: string,
  temp: string,
  limits: Limits,
  signal: AbortSignal,
): Promise<Source> {
  const file = join(temp, "input");
  const readable = stream instanceof Readable ? stream : new Readable().wrap(stream);
  await writeStream(readable, undefined, file, limits.inputBytes, signal);
  return await openFile(file, shown, true, temp, limits, signal);
}

async function openFile(
  path: string,
  shown: string,
  owned: boolean,
  temp: string,
  limits: Limits,
  signal: AbortSignal,
): Promise<Source> {
  const head = await readHead(path, HEAD_BYTES).catch((error: unknown) =>
    Promise.reject(toGantryError(error, "image-invalid", shown)),
  );
  const compression = compressionOf(head);
  if (compression === undefined) return await openTar(path, head, shown, owned, limits, signal);
  const plain = join(temp, "input.plain");
  await writeFileStream(path, compression, plain, limits.inputBytes, signal);
  return await openTar(plain, await readHead(plain, HEAD_BYTES), `${shown} (${compression})`, true, limits, signal);
}

async function openTar(
  file: string,
  head: Buffer,
  shown: string,
  owned: boolean,
  limits: Limits,
  signal: AbortSignal,
): Promise<Source> {
  if (!isTarHeader(head)) throw unknown(shown, describe(head));
  const contents = await summarizeTar(file, limits, signal).catch((error: unknown) =>
    Promise.reject(prefixed(error, shown)),
  );
  if (!(await endsWithZeros(file))) {
    throw new GantryError("image-invalid", `${shown}: the archive is cut short: its end mark is missing`, {
      hint: "Copy or save the file again, and compare its size with the original's.",
    });
  }
  const { top } = contents;
  if (top.size === 0) throw unknown(shown, "an empty tar archive");
  // "docker save" of today writes both; its manifest.json has the full names.
  if (top.has("manifest.json") && (top.has("repositories") || top.has("oci-layout") || !looksLikeRoot(top)))
    return { kind: "docker-archive", file, contents };
  if (top.has("oci-layout") && top.has("index.json")) return { kind: "oci-archive", file, contents };
  if (top.has("oci-layout")) throw unknown(shown, "an OCI archive without its index.json");
  if (top.has("repositories") && !looksLikeRoot(top))
    throw unknown(shown, "a docker-archive without its manifest.json", "Save it with a newer Docker.");
  return { kind: "rootfs-tar", file, owned };
}

function looksLikeRoot(top: ReadonlySet<string>): boolean {
  return ["bin", "usr", "etc", "lib", "sbin"].some((name) => top.has(name));
}

/** A tar header's checksum, which every dialect has: the sum of its bytes with the checksum field as spaces. */
function isTarHeader(head: Buffer): boolean {
  if (head.length < TAR_BLOCK) return false;
  const stored = Number.parseInt(head.toString("latin1", 148, 156).replaceAll("\0", " ").trim(), 8);
  let sum = 0;
  for (let at = 0; at < TAR_BLOCK; at += 1) sum += at >= 148 && at < 156 ? 0x20 : (head[at] ?? 0);
  // An archive without members is all zeros: it has no header, and is told so later.
  return sum === stored || head.subarray(0, TAR_BLOCK).every((byte) => byte === 0);
}

async function endsWithZeros(file: string): Promise<boolean> {
  const handle = await open(file, "r");
  try {
    const { size } = await handle.stat();
    const buffer = Buffer.alloc(TAR_BLOCK);
    await handle.read(buffer, 0, TAR_BLOCK, Math.max(0, size - TAR_BLOCK));
    return buffer.every((byte) => byte === 0);
  } finally {
    await handle.close();
  }
}

const KNOWN: readonly (readonly [string, number, string])[] = [
  ["PK\u0003\u0004", 0, "a zip archive"],
  ["\u007fELF", 0, "a program (ELF)"],
  ["hsqs", 0, "a squashfs filesystem"],
  ["QFI\u00fb", 0, "a qcow2 disk image"],
  ["\u00e2\u00e1\u00f5\u00e0", 1024, "an EROFS filesystem"],
  ["\u0053\u00ef", 1080, "an ext2/3/4 filesystem"],
  ["!<arch>", 0, "a Debian package or ar archive"],
  ["070701", 0, "a cpio archive"],
];

/** What the beginning of a file looks like, in words. */
function describe(head: Buffer): string {
  if (head.length === 0) return "an empty file";
  const known = KNOWN.find(([magic, at]) => head.toString("latin1", at, at + magic.length) === magic);
  if (known !== undefined) return known[2];
  const text = head
    .subarray(0, TAR_BLOCK)
    .every((byte) => byte === 9 || byte === 10 || byte === 13 || (byte >= 32 && byte !== 127));
  if (text) return `text that begins with ${JSON.stringify(head.toString("utf8", 0, 40))}`;
  return `unknown data that begins with the bytes ${head.subarray(0, 8).toString("hex")}`;
}

function unknown(shown: string, found: string, hint?: string): GantryError {
  return new GantryError("image-invalid", `${shown} is no image: found ${found}`, {
    hint: hint === undefined ? EXPECTED : `${hint} ${EXPECTED}`,
  });
}

function prefixed(error: unknown, shown: string): GantryError {
  if (!(error instanceof GantryError) || error.code !== "image-invalid") return toGantryError(error);
  return new GantryError("image-invalid", `${shown}: ${error.message}`, {
    cause: error,
    ...(error.hint === undefined ? {} : { hint: error.hint }),
  });
}
