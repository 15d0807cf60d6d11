import { X509Certificate } from "node:crypto";
import { chmod, readFile } from "node:fs/promises";
import { join } from "node:path";
import { errnoOf, GantryError, messageOf } from "../../system/errors.ts";
import { makeDirectory } from "../../system/make-directory.ts";
import type { Paths } from "../../system/paths.ts";
import { writeSecret } from "./files.ts";
import { type KeyPair, makeKeyPair } from "./openssl.ts";

const DAY_MS = 86_400_000;
const CA_DAYS = 3650;
/** As browsers and Apple's systems allow it at most, with a month to spare. */
const SERVER_DAYS = 365;
/** Made anew when it would end within this. ms */
const RENEW_BEFORE_MS = 30 * DAY_MS;

/** Where the keys and credentials of the API are. Mode 0700. */
export function accessDir(paths: Pick<Paths, "lib">): string {
  return join(paths.lib, "api");
}

const caFile = (dir: string): string => join(dir, "ca.pem");
const serverFile = (dir: string): string => join(dir, "server.pem");

/**
 * The authority that signs this root's certificates; made on first use, key and certificate in one file, so that no two
 * can ever be mixed up.
 * @throws GantryError command-missing, command-failed, state-damaged (the file can't be read, or is none)
 */
export async function ensureAuthority(dir: string): Promise<KeyPair> {
  await ensureDir(dir);
  const held = await readPair(caFile(dir));
  if (held !== undefined) return held;
  const made = await makeKeyPair(dir, {
    commonName: "gantry-ca",
    days: CA_DAYS,
    extensions: [
      "basicConstraints=critical,CA:TRUE,pathlen:0",
      "keyUsage=critical,keyCertSign,cRLSign",
      "subjectKeyIdentifier=hash",
    ],
  });
  if (await writeSecret(caFile(dir), made.key + made.certificate, { replace: false })) return made;
  // Another process was faster; its authority is the one.
  return (await readPair(caFile(dir))) ?? made;
}

/** The authority if there is one. @throws GantryError state-damaged */
export function heldAuthority(dir: string): Promise<KeyPair | undefined> {
  return readPair(caFile(dir));
}

export interface ServerKey extends KeyPair {
  readonly endsAt: number;
}

/**
 * The server's key and certificate for `names` (host names and addresses): the one that is there, unless it ends soon,
 * lacks a name, or is another authority's.
 * @throws as ensureAuthority
 */
export async function ensureServerKey(dir: string, names: readonly string[], now: number): Promise<ServerKey> {
  const authority = await ensureAuthority(dir);
  const held = await readPair(serverFile(dir)).catch(() => undefined);
  if (held !== undefined && isGood(held, authority, names, now)) return { ...held, endsAt: endOf(held.certificate) };
  const made = await makeKeyPair(dir, {
    commonName: "gantry",
    days: SERVER_DAYS,
    issuerFile: caFile(dir),
    extensions: [
      "basicConstraints=critical,CA:FALSE",
      "keyUsage=critical,digitalSignature",
      "extendedKeyUsage=serverAuth",
      `subjectAltName=${names.map(alternative).join(",")}`,
    ],
  });
  await writeSecret(serverFile(dir), made.key + made.certificate, { replace: true });
  return { ...made, endsAt: endOf(made.certificate) };
}

/** When the server's certificate ends; undefined when there is none. ms since the epoch */
export async function serverKeyEnds(dir: string): Promise<number | undefined> {
  const held = await readPair(serverFile(dir));
  return held && endOf(held.certificate);
}

/** A key and a certificate with which a client proves to be `name`. @throws as ensureAuthority */
export async function makeClientKey(dir: string, name: string, group: string, days: number): Promise<KeyPair> {
  await ensureAuthority(dir);
  return makeKeyPair(dir, {
    commonName: name,
    organization: group,
    days,
    issuerFile: caFile(dir),
    extensions: [
      "basicConstraints=critical,CA:FALSE",
      "keyUsage=critical,digitalSignature",
      "extendedKeyUsage=clientAuth",
    ],
  });
}

export function endOf(certificate: string): number {
  return new X509Certificate(certificate).validToDate.getTime();
}

function isGood(held: KeyPair, authority: KeyPair, names: readonly string[], now: number): boolean {
  const certificate = new X509Certificate(held.certificate);
  const issuer = new X509Certificate(authority.certificate);
  return (
    // It begins later than now when the clock was wrong then, and is right now.
    certificate.validFromDate.getTime() <= now &&
    certificate.validToDate.getTime() - now > RENEW_BEFORE_MS &&
    certificate.verify(issuer.publicKey) &&
    names.every((name) => (isAddress(name) ? certificate.checkIP(name) : certificate.checkHost(name)) !== undefined)
  );
}

const isAddress = (name: string): boolean => name.includes(":") || /^\d+(\.\d+){3}$/.test(name);
const alternative = (name: string): string => `${isAddress(name) ? "IP" : "DNS"}:${name}`;

async function ensureDir(dir: string): Promise<void> {
  try {
    await makeDirectory(dir, 0o700);
    await chmod(dir, 0o700);
  } catch (cause) {
    throw new GantryError("internal", `cannot make the directory of the API's keys: ${messageOf(cause)}`, {
      kind: "system",
      hint: `Check that ${dir} can be written; only root can.`,
      cause,
    });
  }
}

async function readPair(file: string): Promise<KeyPair | undefined> {
  let text: string;
  try {
    text = await readFile(file, "utf8");
  } catch (cause) {
    if (errnoOf(cause) === "ENOENT" || errnoOf(cause) === "ENOTDIR") return undefined;
    throw new GantryError("internal", `${file} cannot be read: ${messageOf(cause)}`, {
      kind: "system",
      hint: "The keys of the API are root's alone: run this as root (sudo).",
      cause,
    });
  }
  const key = /-----BEGIN PRIVATE KEY-----[\s\S]+?-----END PRIVATE KEY-----\n?/.exec(text)?.[0];
  const certificate = /-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----\n?/.exec(text)?.[0];
  try {
    if (key === undefined || certificate === undefined) throw new Error("it has no key and certificate");
    new X509Certificate(certificate);
  } catch (cause) {
    throw new GantryError("state-damaged", `${file} is damaged: ${messageOf(cause)}`, {
      kind: "system",
      hint: "Move it away: a new one is made, and every client needs a new kubeconfig ('gantry kubeconfig').",
      cause,
    });
  }
  return { key, certificate };
}
