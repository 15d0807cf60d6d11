import { accessSync, closeSync, constants, openSync, readSync, statSync } from "node:fs";
import { join } from "node:path";
import { REQUIREMENTS, type Requirement } from "./requirements.ts";

/** Administrators' tools are often not in a plain user's PATH. */
const ALWAYS_SEARCHED = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/** Those of `requirements` that this machine does not have. Only looks at files: takes about a millisecond. */
export function findMissing(requirements: readonly Requirement[], searchPath: string): Requirement[] {
  const directories = [
    ...new Set([...searchPath.split(":").filter((directory) => directory.startsWith("/")), ...ALWAYS_SEARCHED]),
  ];
  return requirements.filter((requirement) => {
    const places = requirement.paths ?? directories.map((directory) => join(directory, requirement.tool));
    const mode = requirement.isData === true ? constants.R_OK : constants.X_OK;
    return !places.some((place) => isFile(place, mode) && (requirement.mustBeStatic !== true || isStatic(place)));
  });
}

/** Whether a tool of the list is on this machine. */
export function hasTool(tool: string): boolean {
  const requirements = REQUIREMENTS.filter((requirement) => requirement.tool === tool);
  return findMissing(requirements, process.env["PATH"] ?? "").length === 0;
}

function isFile(path: string, mode: number): boolean {
  try {
    accessSync(path, mode);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}

const PT_INTERP = 3;

/**
 * True for a 64-bit little-endian ELF program that asks for no dynamic linker, i.e. that runs in an empty root.
 * The layout is that of elf(5): program headers at e_phoff (32), e_phentsize (54) bytes each, e_phnum (56) of them,
 * each starting with its type.
 */
export function isStatic(path: string): boolean {
  let file: number;
  try {
    file = openSync(path, "r");
  } catch {
    return false; // not ours to read: it can't be copied into an image then, either
  }
  try {
    const header = Buffer.alloc(64);
    if (readSync(file, header, 0, 64, 0) < 64 || header.readUInt32BE(0) !== 0x7f454c46) return false;
    if (header.readUInt8(4) !== 2 || header.readUInt8(5) !== 1) return false;
    const offset = Number(header.readBigUInt64LE(32));
    const entrySize = header.readUInt16LE(54);
    const entry = Buffer.alloc(4);
    for (let index = 0; index < header.readUInt16LE(56); index++) {
      readSync(file, entry, 0, 4, offset + index * entrySize);
      if (entry.readUInt32LE(0) === PT_INTERP) return false;
    }
    return true;
  } finally {
    closeSync(file);
  }
}
