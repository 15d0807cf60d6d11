import { createWriteStream } from "node:fs";
import { chmod, link, lstat, mkdir, rm, symlink, utimes } from "node:fs/promises";
import { dirname, join, normalize, relative, resolve } from "node:path";
import type { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { Parser, type ReadEntry } from "tar";
import { errnoOf, GantryError, messageOf } from "../../system/errors.ts";

/** What an archive from a container has become here. */
export interface Unpacked {
  readonly files: number;
  /** What was left out, and why: "x -> /etc/passwd: a link that leads out of what is copied". */
  readonly leftOut: readonly string[];
}

/**
 * Unpacks an archive that somebody in a container may have made up: nothing is written but at `target` and below it,
 * whatever the names and links in it say, and no link is left there that leads out of it.
 * @param name first part of the members' names, which becomes `target`; undefined: they go into `target`
 * @throws GantryError conflict (a file stands where a directory must, or the other way round), disk-full, internal
 */
export async function unpack(archive: Readable, name: string | undefined, target: string): Promise<Unpacked> {
  const unpacker = new Unpacker(name, resolve(target));
  let broken: unknown;
  let taken: Promise<void> = Promise.resolve();
  // Each is read before the next one comes.
  const onReadEntry = (entry: ReadEntry): void => {
    taken = taken
      .then(() => unpacker.take(entry))
      .catch((error: unknown) => {
        broken ??= error;
      });
    void taken.then(() => entry.resume());
  };
  const parser = new Parser({ strict: true, onReadEntry });
  parser.on("error", (error: unknown) => {
    broken ??= error;
  });
  const ended = new Promise<void>((done) => parser.once("end", done));
  for await (const chunk of archive) {
    if (broken !== undefined) throw broken;
    if (!parser.write(chunk)) await new Promise<void>((goOn) => whenReady(parser, goOn));
  }
  parser.end();
  if (broken === undefined) await ended;
  await taken;
  if (broken !== undefined) throw broken;
  return await unpacker.end();
}

function whenReady(parser: Parser, goOn: () => void): void {
  const done = (): void => {
    for (const event of ["drain", "error"]) parser.off(event, done);
    goOn();
  };
  for (const event of ["drain", "error"]) parser.once(event, done);
}

const OUT = "a link that leads out of what is copied";

class Unpacker {
  readonly #name: string | undefined;
  readonly #root: string;
  readonly #leftOut: string[] = [];
  readonly #directories: { readonly path: string; readonly mode: number; readonly at: Date | undefined }[] = [];
  #files = 0;

  constructor(name: string | undefined, root: string) {
    this.#name = name;
    this.#root = root;
  }

  async take(entry: ReadEntry): Promise<void> {
    const { path: name, linkpath, mode = 0o755, mtime: at } = entry;
    const path = this.#placeOf(name);
    const why = path === undefined ? "its name leads out of what is copied" : await this.#put(entry, path);
    if (why !== undefined) this.#leftOut.push(`${name}${linkpath ? ` -> ${linkpath}` : ""}: ${why}`);
    else if (path !== undefined && entry.type === "Directory") this.#directories.push({ path, mode, at });
    else this.#files += 1;
  }

  async end(): Promise<Unpacked> {
    // Last, and the innermost first: a directory that may not be written to would take nothing.
    for (const { path, mode, at } of this.#directories.reverse()) {
      await chmod(path, mode & 0o777);
      if (at !== undefined) await utimes(path, at, at);
    }
    return { files: this.#files, leftOut: this.#leftOut };
  }

  /** Undefined for a name that leads elsewhere. */
  #placeOf(member: string): string | undefined {
    const clean = normalize(member).replace(/\/+$/, "");
    if (clean.startsWith("/") || clean === ".." || clean.startsWith("../") || clean.includes("\0")) return undefined;
    if (this.#name === undefined) return join(this.#root, clean);
    if (clean !== this.#name && !clean.startsWith(`${this.#name}/`)) return undefined;
    return join(this.#root, clean.slice(this.#name.length));
  }

  /** @returns why it is left out */
  async #put(entry: ReadEntry, path: string): Promise<string | undefined> {
    const { type, mode = 0o644, mtime, linkpath } = entry;
    try {
      if (path !== this.#root && !(await this.#makeDirectory(dirname(path)))) return "a link stands in its way here";
      switch (type) {
        case "Directory":
          return (await this.#makeDirectory(path)) ? undefined : "a link stands in its way here";
        case "File":
        case "OldFile":
        case "ContiguousFile":
          await clear(path);
          await pipeline(entry, createWriteStream(path, { flags: "wx", mode: 0o600 }));
          await chmod(path, mode & 0o777);
          if (mtime !== undefined) await utimes(path, mtime, mtime);
          return undefined;
        case "SymbolicLink": {
          if (!linkpath || linkpath.startsWith("/") || !this.#holds(resolve(dirname(path), linkpath))) return OUT;
          await clear(path);
          await symlink(linkpath, path);
          return undefined;
        }
        case "Link":
          return await this.#putLink(linkpath ?? "", path);
        default:
          return `a ${type} is not copied`;
      }
    } catch (cause) {
      if (cause instanceof GantryError) throw cause;
      if (errnoOf(cause) === "ENOSPC")
        throw new GantryError("disk-full", `${path}: no room is left`, { cause, hint: "Make room, and copy again." });
      throw new GantryError("internal", `${path} cannot be written: ${messageOf(cause)}`, { kind: "system", cause });
    }
  }

  /** A second name of a file that came before. */
  async #putLink(linkpath: string, path: string): Promise<string | undefined> {
    const of = this.#placeOf(linkpath);
    if (of === undefined) return OUT;
    const isPlain = (await this.#makeDirectory(dirname(of))) && (await lstat(of).catch(() => undefined))?.isFile();
    if (!isPlain) return "a hard link to what was not copied";
    await clear(path);
    await link(of, path);
    return undefined;
  }

  #holds(path: string): boolean {
    return path === this.#root || path.startsWith(`${this.#root}/`);
  }

  /** Makes a directory at or below the root, following no link. @returns false where one stands in the way */
  async #makeDirectory(path: string): Promise<boolean> {
    const steps = relative(this.#root, path).split("/").filter(Boolean);
    let at = this.#root;
    for (const step of ["", ...steps]) {
      at = join(at, step);
      const found = await lstat(at).catch(absent);
      // The target itself is what the person who copies has named, link or not.
      if (found?.isSymbolicLink() === true && at !== this.#root) return false;
      if (found === undefined) await mkdir(at, { mode: 0o755 });
      else if (!found.isDirectory() && !found.isSymbolicLink()) {
        throw new GantryError("conflict", `${at} is a file, and what is copied there is a directory`, {
          hint: "Move it away, or name another target.",
        });
      }
    }
    return true;
  }
}

/** Makes room for something that is no directory. */
async function clear(path: string): Promise<void> {
  const found = await lstat(path).catch(absent);
  if (found?.isDirectory() === true) {
    throw new GantryError("conflict", `${path} is a directory, and what is copied there is a file`, {
      hint: "Move it away, or name another target.",
    });
  }
  if (found !== undefined) await rm(path);
}

function absent(error: unknown): undefined {
  if (errnoOf(error) === "ENOENT") return undefined;
  throw error;
}
