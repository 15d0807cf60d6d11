import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { exec } from "../../system/exec.ts";

/** A private key and its certificate, both PEM. */
export interface KeyPair {
  readonly key: string;
  readonly certificate: string;
}

export interface Wish {
  readonly commonName: string;
  /** The O of a client's subject, which Kubernetes takes as its group. */
  readonly organization?: string;
  readonly days: number;
  /** Lines of the section of extensions, as in x509v3_config(5). */
  readonly extensions: readonly string[];
  /** File with the key and the certificate of the issuer; without one it signs itself. */
  readonly issuerFile?: string;
}

/**
 * Makes a key (ECDSA on P-256) and its certificate. With the openssl command, which every Debian with certificates of
 * authorities has: a library for it would add fifteen packages and 10 MiB to the daemon, for one call a year.
 * @param dir root's alone: a directory in it has the key for a moment
 * @throws GantryError command-missing, command-failed
 */
export async function makeKeyPair(dir: string, wish: Wish): Promise<KeyPair> {
  const issuer = wish.issuerFile === undefined ? [] : ["-CA", wish.issuerFile, "-CAkey", wish.issuerFile];
  const work = await mkdtemp(join(dir, "new-"));
  const [config, key, certificate] = ["config", "key", "certificate"].map((name) => join(work, name)) as Files;
  try {
    await writeFile(config, configOf(wish));
    await exec(
      "openssl",
      [
        ...["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-noenc", "-sha256"],
        ...["-keyout", key, "-out", certificate, "-config", config, "-days", String(wish.days)],
        ...issuer,
      ],
      { installHint: "apt install openssl" },
    );
    return { key: await readFile(key, "utf8"), certificate: await readFile(certificate, "utf8") };
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

type Files = [string, string, string];

function configOf({ commonName, organization, extensions }: Wish): string {
  const subject = [...(organization === undefined ? [] : [`O=${organization}`]), `CN=${commonName}`];
  return [
    ...["[req]", "distinguished_name=subject", "x509_extensions=extensions", "prompt=no", "utf8=yes"],
    ...["[subject]", ...subject],
    ...["[extensions]", ...extensions, ""],
  ].join("\n");
}
