import { createHash, randomBytes, X509Certificate } from "node:crypto";
import { readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { errnoOf, GantryError, messageOf } from "../../system/errors.ts";
import { makeDirectory } from "../../system/make-directory.ts";
import { writeSecret } from "./files.ts";
import { ensureAuthority, makeClientKey } from "./keys.ts";
import { GROUP_OF_ROLE, type Role } from "./roles.ts";

const NAME = /^[a-z0-9]([-a-z0-9.]{0,61}[a-z0-9])?$/;
const TOKEN_BYTES = 32;

/** What is kept of a credential: enough to know it again, not enough to use it. */
const record = z.strictObject({
  name: z.string().regex(NAME),
  role: z.enum(["admin", "view"]),
  kind: z.enum(["certificate", "token"]),
  /** SHA-256, hex, of the token, or of the certificate in DER. A token is 256 random bits: it needs no slow hash. */
  sha256: z.string().regex(/^[0-9a-f]{64}$/),
  createdAt: z.iso.datetime(),
  expiresAt: z.iso.datetime(),
});
export type CredentialRecord = Readonly<z.infer<typeof record>>;

/** What the client gets, once. */
export type Secret =
  | { readonly kind: "token"; readonly token: string }
  | { readonly kind: "certificate"; readonly key: string; readonly certificate: string };

export interface NewCredential {
  /** Taken as it is; without one the role's name, with a number where that is taken. */
  readonly name: string | undefined;
  readonly role: Role;
  readonly kind: "certificate" | "token";
  readonly days: number;
  readonly now: number;
}

export function credentialsDir(dir: string): string {
  return join(dir, "credentials");
}

export const tokenHash = (token: string): string => createHash("sha256").update(token).digest("hex");

export function certificateHash(certificate: X509Certificate): string {
  return createHash("sha256").update(certificate.raw).digest("hex");
}

/**
 * Makes a credential and keeps what is needed to know it. The daemon need not run; one that runs knows it at once.
 * @param dir of the API's keys, see accessDir
 * @throws GantryError usage (a bad name), already-exists, and as ensureAuthority
 */
export async function createCredential(
  dir: string,
  wanted: NewCredential,
): Promise<{ readonly record: CredentialRecord; readonly secret: Secret; readonly authority: string }> {
  const { role, kind, days, now } = wanted;
  if (wanted.name !== undefined && !NAME.test(wanted.name)) {
    throw new GantryError("usage", `'${wanted.name}' is not a name of a credential`, {
      hint: "Lowercase letters, digits, '-' and '.', at most 63; for example: laptop",
    });
  }
  const authority = (await ensureAuthority(dir)).certificate;
  await makeDirectory(credentialsDir(dir), 0o700);
  const taken = new Set((await listCredentials(dir)).map(({ name }) => name));
  const name = wanted.name ?? freeName(role, taken);
  if (taken.has(name)) throw alreadyThere(name);
  const secret = await makeSecret(dir, name, role, kind, days);
  const made: CredentialRecord = {
    name,
    role,
    kind,
    sha256:
      secret.kind === "token" ? tokenHash(secret.token) : certificateHash(new X509Certificate(secret.certificate)),
    createdAt: new Date(now).toISOString(),
    expiresAt: new Date(now + days * 86_400_000).toISOString(),
  };
  const text = `${JSON.stringify(made, undefined, 2)}\n`;
  if (!(await writeSecret(fileOf(dir, name), text, { replace: false }))) throw alreadyThere(name);
  return { record: made, secret, authority };
}

/** All of them, by name; files that are none are left out. @throws GantryError internal (no permission) */
export async function listCredentials(dir: string): Promise<CredentialRecord[]> {
  let names: string[];
  try {
    names = await readdir(credentialsDir(dir));
  } catch (cause) {
    if (errnoOf(cause) === "ENOENT") return [];
    throw new GantryError("internal", `the credentials of the API cannot be read: ${messageOf(cause)}`, {
      kind: "system",
      hint: "They are root's alone: run this as root (sudo).",
      cause,
    });
  }
  const files = names.filter((name) => name.endsWith(".json")).sort();
  const found = await Promise.all(files.map(async (file) => readRecord(join(credentialsDir(dir), file))));
  return found.flatMap((one) => one ?? []);
}

/** From now on it is refused. @throws GantryError not-found */
export async function removeCredential(dir: string, name: string): Promise<void> {
  const known = NAME.test(name) && (await listCredentials(dir)).some((one) => one.name === name);
  if (!known) {
    const names = (await listCredentials(dir)).map((one) => one.name);
    throw new GantryError("not-found", `there is no credential '${name}'`, {
      hint: names.length === 0 ? "There are none." : `There are: ${names.join(", ")}.`,
    });
  }
  await rm(fileOf(dir, name), { force: true });
}

const fileOf = (dir: string, name: string): string => join(credentialsDir(dir), `${name}.json`);

async function readRecord(file: string): Promise<CredentialRecord | undefined> {
  try {
    const result = record.safeParse(JSON.parse(await readFile(file, "utf8")));
    return result.success ? result.data : undefined;
  } catch {
    return undefined; // removed meanwhile, or no record: it opens nothing
  }
}

async function makeSecret(dir: string, name: string, role: Role, kind: Secret["kind"], days: number): Promise<Secret> {
  if (kind === "token") return { kind, token: `gantry-${randomBytes(TOKEN_BYTES).toString("base64url")}` };
  return { kind, ...(await makeClientKey(dir, name, GROUP_OF_ROLE[role], days)) };
}

function freeName(role: Role, taken: ReadonlySet<string>): string {
  for (let number = 1; ; number += 1) {
    const name = number === 1 ? role : `${role}-${number}`;
    if (!taken.has(name)) return name;
  }
}

function alreadyThere(name: string): GantryError {
  return new GantryError("already-exists", `there is a credential '${name}' already`, {
    hint: `Its secret is not kept. Choose another name, or remove it first: gantry kubeconfig rm ${name}`,
  });
}
