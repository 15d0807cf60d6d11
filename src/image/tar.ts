import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { errnoOf, GantryError } from "../system/errors.ts";
import { formatBytes, type Limits, tooBig } from "./limits.ts";
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

const MAX_TOP = 1000;
/** `tar -tv --numeric-owner`: type and mode, owner, size or "major,minor", date, time, name. */
const LINE = /^(.)\S+\s+\S+\s+(\d+)(?:,\s*\d+)?\s+\S+\s+\S+\s+(.*)$/;

/**
 * Lists an uncompressed tar file with GNU tar, which reads every dialect, and stops it as soon as a limit is passed.
 * @throws GantryError image-invalid (damaged, cut short, over a limit), cancelled, command-missing
 */
export function summarizeTar(file: string, limits: Limits, signal: AbortSignal): Promise<TarSummary> {
  return new Promise((resolve, reject) => {
    const args = [
      "--list",
      "--verbose",
      "--numeric-owner",
      "--quoting-style=escape",
      "--absolute-names",
      "--force-local",
      "--file",
      file,
    ];
    const child = spawn("tar", args, {
      stdio: ["ignore", "pipe", "pipe"],
      env: { PATH: process.env["PATH"] ?? "/usr/bin:/bin", LC_ALL: "C" },
      signal,
    });
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
      if (entries > limits.entries)
        stop(tooBig(`it holds more than ${limits.entries} files`, `${limits.entries} files`));
      else if (unpackedBytes > limits.unpackedBytes) {
        stop(tooBig(`it unpacks to more than ${formatBytes(limits.unpackedBytes)}`, formatBytes(limits.unpackedBytes)));
      }
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
