import { createHash } from "node:crypto";
import { open, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { GantryError, messageOf } from "../../../system/errors.ts";
import { exists } from "./compile.ts";
import type { Kernel } from "./kernel.ts";

/** Where the x86 boot protocol keeps its magic and the offset of the version (Documentation/arch/x86/boot.rst). */
const MAGIC_AT = 0x202;
const VERSION_AT = 0x20e;
const HEADER_BYTES = 0x10000;
const ELF = Buffer.from("\x7fELF", "latin1");
const BANNER = "Linux version ";
/** How much of an ELF kernel is searched for its banner. */
const SEARCHED_BYTES = 64 * 2 ** 20;

/**
 * A kernel of the user's: a bzImage, or an ELF file with PVH. Its modules are looked for beside it, as in a package
 * that was unpacked, and where installed kernels have them; one without modules must have all that it needs built in.
 * @throws GantryError unsupported: there is no such file, or it is no kernel
 */
export async function customKernel(path: string): Promise<Kernel> {
  const release = await releaseOf(path);
  const { ino, size, mtimeMs } = await stat(path);
  const stamp = createHash("sha256")
    .update(JSON.stringify([path, ino, size, mtimeMs]))
    .digest("hex")
    .slice(0, 12);
  const root = join(dirname(path), "..");
  const places = [join(root, "lib"), join(root, "usr", "lib"), "/lib", "/usr/lib"];
  const kernel = { id: `own-${release}-${stamp}`, image: path };
  for (const place of places) {
    const modules = join(place, "modules", release);
    if (await exists(join(modules, "modules.builtin"))) return { ...kernel, modules };
  }
  return kernel;
}

/** `uname -r` of a kernel that does not run. */
async function releaseOf(path: string): Promise<string> {
  let head: Buffer;
  try {
    head = await readStart(path, HEADER_BYTES);
  } catch (cause) {
    throw refusal(`the kernel ${path} cannot be read: ${messageOf(cause)}`, cause);
  }
  if (head.subarray(0, ELF.length).equals(ELF)) {
    const image = await readStart(path, SEARCHED_BYTES);
    const at = image.indexOf(BANNER);
    if (at < 0) throw refusal(`${path} is an ELF file, but no Linux kernel`);
    return firstWord(image, at + BANNER.length);
  }
  if (head.length < VERSION_AT + 2 || head.toString("latin1", MAGIC_AT, MAGIC_AT + 4) !== "HdrS") {
    throw refusal(`${path} is no Linux kernel (neither a bzImage nor an ELF file)`);
  }
  return firstWord(head, 0x200 + head.readUInt16LE(VERSION_AT));
}

/** Only what a directory of modules may be called: it becomes part of a path. */
function firstWord(data: Buffer, at: number): string {
  return /^[\w.+~-]{1,64}/.exec(data.toString("latin1", at, at + 64))?.[0] ?? "unknown";
}

async function readStart(path: string, bytes: number): Promise<Buffer> {
  await using handle = await open(path, "r");
  const { size } = await handle.stat();
  const buffer = Buffer.alloc(Math.min(bytes, size));
  const { bytesRead } = await handle.read(buffer, 0, buffer.length, 0);
  return buffer.subarray(0, bytesRead);
}

function refusal(message: string, cause?: unknown): GantryError {
  return new GantryError("unsupported", message, {
    hint: "Correct microvm.kernel in the configuration or the pod's annotation gantry.dev/vm-kernel, or leave it out.",
    cause,
  });
}
