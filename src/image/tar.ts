import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import type { Writable } from "node:stream";
import { errnoOf, GantryError, isGantryError } from "../system/errors.ts";
import { type Limits, tooManyFiles, unpacksToTooMuch } from "./limits.ts";
import { installHint } from "./tools.ts";

/** What is in a tar file, without its content. */
export interface TarSummary {
  /** First components of the members' paths, at most 1,000 of them, without a leading "./". */
  readonly top: ReadonlySet<string>;
  /** How the members' paths begin: "./" or nothing. */
  readonly prefix: "" | "./";
  readonly entries: number;
  /** Bytes that the files take when unpacked (holes count). */
  readonly unpackedBytes: number;
  /** Block and character device nodes. */
  readonly devices: number;
}

/** What is known of the other layers of the same image: the limits are for all together. */
export type Held = Pick<TarSummary, "entries" | "unpackedBytes">;

export const NOTHING_HELD: Held = { entries: 0, unpackedBytes: 0 };
const MAX_TOP = 1000;
/** `tar -tv --numeric-owner`: type and mode, owner, size or "major,minor", date, time, name. */
const LINE = /^(.)\S+\s+\S+\s+(\d+)(?:,\s*\d+)?\s+\S+\s+\S+\s+(.*)$/;

/**
 * Lists an uncompressed tar file with GNU tar, which reads every dialect, and stops it as soon as a limit is passed.
 * @throws GantryError image-invalid (damaged, cut short, over a limit), cancelled, command-missing
 */
export function summarizeTar(
  file: string,
  limits: Limits,
  signal: AbortSignal,
  held: Held = NOTHING_HELD,
): Promise<TarSummary> {
  return list(file, limits, held, signal);
}

/**
 * `summarizeTar` for an archive that never touches the disk.
 * @param feed writes the whole archive to the stream, and ends it
 * @returns what the archive holds, and what `feed` returned. @throws as `summarizeTar` and `feed` do
 */
export async function summarizeTarStream<T>(
  feed: (to: Writable) => Promise<T>,
  limits: Limits,
  signal: AbortSignal,
  held: Held = NOTHING_HELD,
): Promise<{ summary: TarSummary; fed: T }> {
  const gate = Promise.withResolvers<T>();
  const [listed, fed] = await Promise.allSettled([
    list("-", limits, held, signal, (stdin) => gate.resolve(feed(stdin))).finally(() => gate.reject(NOT_FED)),
    gate.promise,
  ]);
  // Each one's end breaks the other: the first cause is told. A cut archive is only listed as such, what cut it is known here.
  if (listed.status === "rejected") {
    const cut = fed.status === "rejected" && !isBrokenPipe(fed.reason) && isGantryError(listed.reason, "image-invalid");
    throw cut ? fed.reason : listed.reason;
  }
  if (fed.status === "rejected") throw fed.reason;
  return { summary: listed.value, fed: fed.value };
}

/** What `feed` meets once tar has gone. */
const BROKEN = new Set(["EPIPE", "ECONNRESET", "ERR_STREAM_PREMATURE_CLOSE", "ERR_STREAM_DESTROYED"]);
const NOT_FED = Object.assign(new Error("tar did not begin"), { code: "EPIPE" });

function isBrokenPipe(error: unknown): boolean {
  const cause = error instanceof GantryError ? error.cause : error;
  return cause instanceof Error && "code" in cause && typeof cause.code === "string" && BROKEN.has(cause.code);
}

/** @param onInput gets the archive's way in, where `file` is "-" */
function list(
  file: string,
  limits: Limits,
  held: Held,
  signal: AbortSignal,
  onInput?: (stdin: Writable) => void,
): Promise<TarSummary> {
  return new Promise((resolve, reject) => {
    const args = [
      "--list",
      "--verbose",
      "--numeric-owner",
      "--quoting-style=escape",
      "--absolute-names",
      "--force-local",
      // In records of 512 bytes: 256 KiB at once instead of 10 KiB, for the sake of pipes.
      "--blocking-factor=512",
      "--file",
      file,
    ];
    const child = spawn("tar", args, {
      stdio: ["pipe", "pipe", "pipe"],
      env: { PATH: process.env["PATH"] ?? "/usr/bin:/bin", LC_ALL: "C" },
      signal,
    });
    // tar may end before it has read all; who feeds it is told so by the pipeline.
    child.stdin.on("error", () => {});
    if (onInput === undefined) child.stdin.end();
    else onInput(child.stdin);
    const top = new Set<string>();
    let prefix: "" | "./" = "";
    let entries = 0;
    let unpackedBytes = 0;
    let devices = 0;
    let said = "";
    let over: GantryError | undefined;
    const stop = (error: GantryError): void => {
      over ??= error;
      child.kill("SIGKILL");
    };
    child.stderr.on("data", (chunk: Buffer) => {
      if (said.length < 4096) said += chunk.toString("utf8");
    });
    const lines = createInterface({ input: child.stdout });
    const linesRead = new Promise<void>((done) => lines.once("close", done));
    lines.on("line", (line) => {
      const [, type, size, name] = LINE.exec(line) ?? [];
      if (type === undefined || size === undefined || name === undefined) return;
      entries += 1;
      if (type === "b" || type === "c") devices += 1;
      else if (type !== "h") unpackedBytes += Number(size);
      if (name.startsWith("./")) prefix = "./";
      const first = name.replace(/^(\.?\/+)+/, "").split("/")[0];
      if (first !== undefined && first !== "" && top.size < MAX_TOP)
        top.add(type === "l" ? (first.split(" -> ")[0] ?? first) : first);
      const alone = held.entries === 0;
      if (held.entries + entries > limits.entries) stop(tooManyFiles(limits, alone));
      else if (held.unpackedBytes + unpackedBytes > limits.unpackedBytes) stop(unpacksToTooMuch(limits, alone));
    });
    child.once("error", (cause) => {
      if (signal.aborted)
        reject(new GantryError("cancelled", "reading the archive was cancelled", { kind: "system", cause }));
      else if (errnoOf(cause) === "ENOENT")
        reject(new GantryError("command-missing", "tar is not installed", { cause, hint: installHint("tar") }));
      else reject(new GantryError("command-failed", `cannot run tar: ${cause.message}`, { kind: "system", cause }));
    });
    child.once("close", async (code) => {
      await linesRead;
      if (over !== undefined) reject(over);
      else if (code !== 0) reject(damaged(said));
      else resolve({ top, prefix, entries, unpackedBytes, devices });
    });
  });
}

function damaged(said: string): GantryError {
  const lines = said
    .trim()
    .split("\n")
    .filter((line) => !/not recoverable|Exiting with failure|Skipping to next/i.test(line));
  const why = (lines.at(-1) ?? "it can't be read").replace(/^(\S*\/)?tar: /, "");
  const what = /unexpected eof/i.test(said) ? "the archive is cut short" : "the archive is damaged";
  return new GantryError("image-invalid", `${what}: ${why}`, {
    hint: "Copy or save the file again, and compare its size with the original's.",
  });
}
