/** The three ways in which a notice leaves: HTTP, a command, a file. */
import { createHash } from "node:crypto";
import { chmod, mkdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { GantryError, messageOf } from "../system/errors.ts";
import { exec } from "../system/exec.ts";
import { isWorthAnotherTry, type Notice, signatureOf, variablesOf } from "./message.ts";

/** It failed, and trying again is of no use. */
export class Refused extends Error {
  override readonly name = "Refused";
}

const TIMEOUT_MS = 10_000;

/** @throws Refused when the receiver says no; Error when it may say yes later */
export async function post(
  url: string,
  secretFile: string | undefined,
  notice: Notice,
  signal: AbortSignal,
): Promise<void> {
  const body = JSON.stringify(notice);
  const secret = secretFile === undefined ? undefined : await readSecret(secretFile);
  let response: Response;
  try {
    response = await fetch(url, {
      method: "POST",
      redirect: "error", // a signed body goes where it was meant to go
      headers: {
        "content-type": "application/json",
        "user-agent": "gantry",
        "x-gantry-event": "sync",
        // Of a repeated delivery it is the same: so a receiver can tell.
        "x-gantry-delivery": createHash("sha256").update(body).digest("hex").slice(0, 32),
        ...(secret !== undefined && { "x-hub-signature-256": signatureOf(body, secret) }),
      },
      body,
      signal: AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)]),
    });
    await response.body?.cancel();
  } catch (error) {
    const cause = error instanceof Error && error.cause !== undefined ? `: ${messageOf(error.cause)}` : "";
    throw new Error(`${hostOf(url)} can't be reached: ${messageOf(error)}${cause}`, { cause: error });
  }
  if (response.ok) return;
  const text = `${hostOf(url)} answered ${response.status}`;
  throw isWorthAnotherTry(response.status) ? new Error(text) : new Refused(text);
}

/** Chat services put their secret into the path: only the host is ever told. */
function hostOf(url: string): string {
  return new URL(url).host;
}

async function readSecret(file: string): Promise<string> {
  const { mode } = await stat(file);
  if ((mode & 0o077) !== 0) throw new Refused(`${file} may be read by others: chmod 600 ${file}`);
  const secret = (await readFile(file, "utf8")).trim();
  if (secret === "") throw new Refused(`${file} is empty`);
  return secret;
}

/** Runs it without a shell, with the notice on stdin. */
export async function run(command: readonly string[], notice: Notice, signal: AbortSignal): Promise<void> {
  const [program = "", ...args] = command;
  try {
    await exec(program, args, {
      input: `${JSON.stringify(notice)}\n`,
      timeoutMs: 60_000,
      maxOutputBytes: 2 ** 20,
      signal,
      env: {
        PATH: process.env["PATH"] ?? "/usr/sbin:/usr/bin:/sbin:/bin",
        HOME: "/root",
        LANG: "C",
        ...variablesOf(notice),
      },
    });
  } catch (error) {
    // It ran: what it did can't be known, so it is not run twice.
    throw new Refused(messageOf(error));
  }
}

/** DIR/SOURCE.json, replaced as a whole, so that whoever reads it never sees half of it. */
export async function writeStatus(directory: string, notice: Notice): Promise<void> {
  const name = basename(notice.source);
  if (name !== notice.source || name === "" || name.startsWith(".")) {
    throw new GantryError("name-invalid", `'${notice.source}' is no name of a source`, { hint: "Use a plain name." });
  }
  await mkdir(directory, { recursive: true });
  const temporary = join(directory, `.${name}.tmp`);
  try {
    await writeFile(temporary, `${JSON.stringify(notice, null, 2)}\n`);
    await chmod(temporary, 0o644);
    await rename(temporary, join(dirname(temporary), `${name}.json`));
  } finally {
    await rm(temporary, { force: true });
  }
}
