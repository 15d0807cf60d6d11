import { timingSafeEqual } from "node:crypto";
import { statSync } from "node:fs";
import type { IncomingMessage } from "node:http";
import type { TLSSocket } from "node:tls";
import { httpError } from "../status-error.ts";
import { type CredentialRecord, certificateHash, credentialsDir, listCredentials, tokenHash } from "./credentials.ts";
import type { Identity } from "./roles.ts";

/** Longer than any of ours; hashing more would be work for nothing. */
const MAX_TOKEN_LENGTH = 512;

/** Who somebody is, and the credential that says so. */
export interface Authenticated extends Identity {
  readonly sha256: string;
}

/**
 * Knows clients by what `gantry kubeconfig` gave them. A credential that was removed is refused from the next request
 * on: the directory is looked at for each (2 µs), and read again when it has changed.
 */
export class Authenticator {
  readonly #dir: string;
  readonly #now: () => number;
  #stamp = "";
  #known: readonly CredentialRecord[] = [];
  #reading: Promise<void> | undefined;

  /** @param dir of the API's keys */
  constructor(dir: string, now: () => number) {
    this.#dir = dir;
    this.#now = now;
  }

  /** @throws GantryError access-denied (401), with why */
  async who(request: IncomingMessage, socket: TLSSocket): Promise<Authenticated> {
    await this.#refresh();
    const { authorization } = request.headers;
    if (authorization !== undefined) return this.#byToken(authorization);
    const certificate = socket.getPeerX509Certificate();
    if (certificate === undefined) throw unauthorized("no credentials were sent");
    if (!socket.authorized) throw unauthorized(`the client's certificate is not accepted: ${reasonOf(socket)}`);
    return this.#byHash(certificateHash(certificate), "certificate");
  }

  /** Whether it still counts: for what goes on after its request was let in. */
  async stillGood({ sha256 }: Authenticated): Promise<boolean> {
    await this.#refresh();
    const found = this.#known.find((one) => one.sha256 === sha256);
    return found !== undefined && Date.parse(found.expiresAt) > this.#now();
  }

  #byToken(header: string): Authenticated {
    const token = /^Bearer +(\S+)$/i.exec(header)?.[1];
    if (token === undefined) throw unauthorized("the header Authorization has no bearer token");
    if (token.length > MAX_TOKEN_LENGTH) throw unauthorized("the token is not known");
    return this.#byHash(tokenHash(token), "token");
  }

  #byHash(sha256: string, kind: CredentialRecord["kind"]): Authenticated {
    const wanted = Buffer.from(sha256, "hex");
    let found: CredentialRecord | undefined;
    // All are compared, each in constant time: how long it takes tells nothing.
    for (const one of this.#known) {
      if (timingSafeEqual(Buffer.from(one.sha256, "hex"), wanted) && one.kind === kind) found = one;
    }
    if (found === undefined) throw unauthorized(`the ${kind} is not known, or was removed`);
    if (Date.parse(found.expiresAt) <= this.#now()) throw unauthorized(`the ${kind} has expired (${found.expiresAt})`);
    return { name: found.name, role: found.role, sha256 };
  }

  async #refresh(): Promise<void> {
    const stamp = stampOf(credentialsDir(this.#dir));
    if (stamp === this.#stamp) return this.#reading;
    this.#stamp = stamp;
    this.#reading = listCredentials(this.#dir).then((known) => {
      this.#known = known;
      // Changes within one tick of the file system's clock look alike: what is fresh is read again next time.
      if (Date.now() - mtimeOf(stamp) < 100) this.#stamp = "";
    });
    return this.#reading;
  }
}

function stampOf(directory: string): string {
  const stat = statSync(directory, { bigint: true, throwIfNoEntry: false });
  return stat === undefined ? "none" : `${stat.ino}:${stat.mtimeNs}`;
}

function mtimeOf(stamp: string): number {
  const ns = stamp.split(":")[1];
  return ns === undefined ? 0 : Number(BigInt(ns) / 1_000_000n);
}

function unauthorized(why: string) {
  return httpError("Unauthorized", `Unauthorized: ${why}`, "Get a kubeconfig on the host: gantry kubeconfig --write");
}

/** OpenSSL's word for it, in words of people. */
function reasonOf(socket: TLSSocket): string {
  const reason = String(socket.authorizationError);
  if (reason.includes("EXPIRED")) return "it has expired";
  if (reason.includes("NOT_YET_VALID")) return "it is not valid yet; look at the clocks";
  return "it is signed by another authority";
}
