/** Public keys in files: what they are, and whose. */
import { createHash, createPublicKey, type KeyObject } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { installHint } from "../image/tools.ts";
import { GantryError, isGantryError, messageOf } from "../system/errors.ts";
import { exec } from "../system/exec.ts";

/** One key that images may be signed with. */
export interface SigningKey {
  readonly type: "gpg" | "sigstore";
  /** GPG: the primary key's fingerprint. sigstore: SHA-256 of the key in DER, in hex. */
  readonly fingerprint: string;
  /** For people: "Alice <alice@example.com> (GPG C9B4AFBEEB4141F4)". */
  readonly label: string;
}

export interface SigstoreKey extends SigningKey {
  readonly type: "sigstore";
  readonly key: KeyObject;
}

const PEM = /-----BEGIN ([A-Z ]+)-----[^-]*-----END \1-----/g;

/**
 * The sigstore (cosign) public keys in a PEM file: a signature by any of them counts.
 * @param name the file's, for people
 * @throws GantryError invalid-config
 */
export function readSigstoreKeys(content: Buffer, name: string): SigstoreKey[] {
  const fail = (why: string, hint: string): never => {
    throw new GantryError("invalid-config", `${name} is no sigstore public key: ${why}`, { hint });
  };
  const want = "Give the public key that 'cosign generate-key-pair' wrote (cosign.pub, PEM).";
  const blocks = [...content.toString("latin1").matchAll(PEM)];
  if (blocks.length === 0) return fail("it holds no PEM block", want);
  return blocks.map(([block, type = ""]) => {
    if (/PRIVATE/.test(type)) return fail(`it holds a ${type.toLowerCase()}, which must stay with the signer`, want);
    if (type !== "PUBLIC KEY") return fail(`it holds a PEM block of type ${type}`, want);
    let key: KeyObject;
    try {
      key = createPublicKey(block);
    } catch (error) {
      return fail(messageOf(error), want);
    }
    if (!["ec", "rsa", "ed25519"].includes(key.asymmetricKeyType ?? "")) {
      return fail(`keys of type ${key.asymmetricKeyType} can't sign images`, "Use an ECDSA, RSA or Ed25519 key.");
    }
    const fingerprint = createHash("sha256")
      .update(key.export({ type: "spki", format: "der" }))
      .digest("hex");
    return { type: "sigstore", key, fingerprint, label: `${shownName(name)} (sigstore ${fingerprint.slice(0, 16)})` };
  });
}

/** Without its directory, and without what a key that we keep has in front of its name. */
function shownName(file: string): string {
  return basename(file).replace(/^[0-9a-f]{12}-/, "");
}

/**
 * The GPG public keys in a keyring file, armoured or not.
 * @throws GantryError invalid-config (no keys, or secret ones), command-missing
 */
export async function readGpgKeys(content: Buffer, name: string): Promise<SigningKey[]> {
  return await withGpgHome(async (home) => {
    const file = join(home, "keys");
    await writeFile(file, content, { mode: 0o600 });
    const { stdout } = await gpg(home, ["--with-colons", "--show-keys", "--", file]).catch((error: unknown) => {
      throw isGantryError(error, "command-failed") ? noKeys(name, lastWords(error)) : error;
    });
    const keys = parseColons(stdout);
    if (keys.length === 0) throw noKeys(name, "it holds none");
    return keys;
  });
}

function noKeys(name: string, why: string): GantryError {
  return new GantryError("invalid-config", `${name} holds no GPG public keys: ${why}`, {
    hint: "Give what 'gpg --armor --export KEY' prints.",
  });
}

function lastWords(error: GantryError): string {
  const said =
    String(error.details["stderr"] ?? "")
      .trim()
      .split("\n")
      .at(-1) ?? "";
  return said.replace(/^gpg: /, "") || error.message;
}

/** `--with-colons`: a record a line, its fields by colons; see doc/DETAILS of GnuPG. */
export function parseColons(text: string): SigningKey[] {
  const keys: { fingerprint: string; owner: string | undefined }[] = [];
  let inSubkey = false;
  for (const line of text.split("\n")) {
    const fields = line.split(":");
    const current = keys.at(-1);
    switch (fields[0]) {
      case "pub":
        keys.push({ fingerprint: "", owner: undefined });
        inSubkey = false;
        break;
      case "sub":
        inSubkey = true;
        break;
      case "fpr":
        if (current !== undefined && !inSubkey && current.fingerprint === "") current.fingerprint = fields[9] ?? "";
        break;
      case "uid":
        if (current !== undefined) current.owner ??= unescapeColons(fields[9] ?? "");
        break;
    }
  }
  return keys
    .filter(({ fingerprint }) => fingerprint !== "")
    .map(({ fingerprint, owner }) => ({
      type: "gpg",
      fingerprint,
      label: `${owner ?? "unnamed"} (GPG ${fingerprint.slice(-16)})`,
    }));
}

function unescapeColons(text: string): string {
  return text.replace(/\\x([0-9a-f]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
}

/** Each key of a keyring as a keyring of its own, by fingerprint. @throws as readGpgKeys does */
export async function splitKeyring(content: Buffer, keys: readonly SigningKey[]): Promise<ReadonlyMap<string, Buffer>> {
  return await withGpgHome(async (home) => {
    const file = join(home, "keys");
    await writeFile(file, content, { mode: 0o600 });
    await gpg(home, ["--import", "--", file]);
    const parts = new Map<string, Buffer>();
    for (const { fingerprint } of keys) {
      const { stdout } = await gpg(home, ["--armor", "--export", "--", fingerprint]);
      parts.set(fingerprint, Buffer.from(stdout));
    }
    return parts;
  });
}

async function gpg(home: string, args: readonly string[]): Promise<{ readonly stdout: string }> {
  return await exec("gpg", ["--batch", "--no-options", "--no-autostart", "--quiet", "--homedir", home, ...args], {
    env: { PATH: process.env["PATH"] ?? "/usr/sbin:/usr/bin:/sbin:/bin", LC_ALL: "C.UTF-8", HOME: home },
    installHint: installHint("gpg"),
  });
}

/** GnuPG wants a home; nobody's own keys are to be seen or changed. */
async function withGpgHome<T>(work: (home: string) => Promise<T>): Promise<T> {
  const home = await mkdtemp(join(tmpdir(), "gantry-gpg-"));
  try {
    return await work(home);
  } finally {
    await rm(home, { recursive: true, force: true });
  }
}
