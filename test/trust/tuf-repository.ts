import { createHash, generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import { createServer, type Server } from "node:http";
import { Key, Metadata, MetaFile, Root, Signature, Snapshot, TargetFile, Targets, Timestamp } from "@tufjs/models";

interface Signer {
  readonly id: string;
  readonly key: Key;
  readonly privateKey: KeyObject;
}

type Role = "root" | "timestamp" | "snapshot" | "targets";
const FAR = new Date(Date.now() + 365 * 86_400_000).toISOString().replace(/\.\d+Z$/, "Z");

export function newSigner(): Signer {
  const { privateKey, publicKey } = generateKeyPairSync("ed25519");
  const hex = publicKey.export({ format: "der", type: "spki" }).subarray(-32).toString("hex");
  const id = createHash("sha256").update(hex).digest("hex");
  return {
    id,
    privateKey,
    key: new Key({ keyID: id, keyType: "ed25519", scheme: "ed25519", keyVal: { public: hex } }),
  };
}

/** A TUF repository made with the models of tuf-js, served over HTTP. Everything about it can be made wrong. */
export class TufRepository {
  readonly files = new Map<string, Buffer>();
  readonly signers: Record<Role, Signer> = {
    root: newSigner(),
    timestamp: newSigner(),
    snapshot: newSigner(),
    targets: newSigner(),
  };
  readonly versions: Record<Role, number> = { root: 0, timestamp: 0, snapshot: 0, targets: 0 };
  readonly expires: Record<Role, string> = { root: FAR, timestamp: FAR, snapshot: FAR, targets: FAR };
  readonly requests: string[] = [];
  #server: Server | undefined;
  #port = 0;
  #targets: Record<string, Buffer> = {};

  get url(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  /** The newest root.json. */
  get root(): Buffer {
    return this.files.get(`${this.versions.root}.root.json`) ?? Buffer.alloc(0);
  }

  async start(): Promise<void> {
    this.#server = createServer((request, response) => {
      const path = (request.url ?? "/").slice(1);
      this.requests.push(path);
      const file = this.files.get(path);
      response.writeHead(file === undefined ? 404 : 200).end(file);
    });
    await new Promise<void>((resolve) => this.#server?.listen(this.#port, "127.0.0.1", resolve));
    const address = this.#server.address();
    if (address !== null && typeof address === "object") this.#port = address.port;
  }

  async stop(): Promise<void> {
    this.#server?.closeAllConnections();
    await new Promise((resolve) => this.#server?.close(resolve));
    this.#server = undefined;
  }

  /** @param by who signs it; a rotation needs the old key, too */
  publishRoot(by: readonly Signer[] = [this.signers.root]): void {
    this.versions.root += 1;
    const root = new Root({
      version: this.versions.root,
      specVersion: "1.0.31",
      expires: this.expires.root,
      consistentSnapshot: false,
    });
    for (const role of ["root", "timestamp", "snapshot", "targets"] as const) root.addKey(this.signers[role].key, role);
    this.files.set(`${this.versions.root}.root.json`, signed(new Metadata(root), by));
  }

  /** Publishes files, by name, with new versions of everything that names them. */
  publish(targets: Readonly<Record<string, string | Buffer>> = this.#targets): void {
    this.#targets = Object.fromEntries(Object.entries(targets).map(([name, content]) => [name, Buffer.from(content)]));
    for (const role of ["targets", "snapshot", "timestamp"] as const) this.versions[role] += 1;
    const list = new Targets({ version: this.versions.targets, specVersion: "1.0.31", expires: this.expires.targets });
    for (const [name, content] of Object.entries(this.#targets)) {
      const hashes = { sha256: createHash("sha256").update(content).digest("hex") };
      list.addTarget(new TargetFile({ path: name, length: content.length, hashes }));
      this.files.set(`targets/${name}`, content);
    }
    this.files.set("targets.json", signed(new Metadata(list), [this.signers.targets]));
    const snapshot = new Snapshot({
      version: this.versions.snapshot,
      specVersion: "1.0.31",
      expires: this.expires.snapshot,
      meta: { "targets.json": new MetaFile({ version: this.versions.targets }) },
    });
    this.files.set("snapshot.json", signed(new Metadata(snapshot), [this.signers.snapshot]));
    this.publishTimestamp();
  }

  publishTimestamp(): void {
    const timestamp = new Timestamp({
      version: this.versions.timestamp,
      specVersion: "1.0.31",
      expires: this.expires.timestamp,
      snapshotMeta: new MetaFile({ version: this.versions.snapshot }),
    });
    this.files.set("timestamp.json", signed(new Metadata(timestamp), [this.signers.timestamp]));
  }
}

type Signable = ConstructorParameters<typeof Metadata>[0];

function signed(metadata: Metadata<Signable>, by: readonly Signer[]): Buffer {
  for (const { id, privateKey } of by)
    metadata.sign((data) => new Signature({ keyID: id, sig: sign(null, data, privateKey).toString("hex") }));
  return Buffer.from(JSON.stringify(metadata.toJSON()));
}
