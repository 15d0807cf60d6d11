import { createHash, createSign, generateKeyPairSync, type KeyObject } from "node:crypto";
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { exec } from "../../src/system/exec.ts";
import { insecure, Registry } from "./registry.ts";

/** A registry on loopback, images in it, and the keys that sign them: all real, all below one directory. */
export interface Lab {
  readonly dir: string;
  /** "127.0.0.1:PORT" */
  readonly host: string;
  /** URL of the GPG signatures. */
  readonly lookaside: string;
  /** Pushes an image. @returns its manifest's digest */
  push(name: string, options?: PushOptions): Promise<string>;
  start(): Promise<void>;
  stop(): Promise<void>;
  dispose(): Promise<void>;
}

export interface PushOptions {
  /** What tells two images apart: the content of /word. */
  readonly word?: string;
  readonly signBy?: GpgKey | undefined;
  /** The identity in the signature, if not the image's own name. */
  readonly identity?: string;
  readonly cmd?: readonly string[];
  /** Without /word, which a probe may look for. */
  readonly broken?: boolean;
}

export interface GpgKey {
  readonly home: string;
  readonly fingerprint: string;
  /** A file with the armoured public key. */
  readonly file: string;
}

export interface SigstoreKeyPair {
  readonly privateKey: KeyObject;
  readonly publicKey: KeyObject;
  readonly file: string;
}

export async function startLab(): Promise<Lab> {
  const dir = mkdtempSync(join(tmpdir(), "gantry-signing-"));
  const registry = await Registry.start(join(dir, "registry"));
  const { host } = registry;
  const signatures = join(dir, "signatures");
  const registries = join(dir, "registries.d");
  mkdirSync(registries);
  writeFileSync(join(registries, "lab.yaml"), `docker:\n  ${host}:\n    lookaside: file://${signatures}\n`);
  let count = 0;
  return {
    dir,
    host,
    lookaside: `file://${signatures}`,
    start: () => registry.start(),
    stop: () => registry.stop(),
    async push(name, { word = name, signBy, identity, cmd = ["sleep", "infinity"], broken = false } = {}) {
      const work = join(dir, `image-${++count}`);
      const root = join(work, "root");
      mkdirSync(join(root, "bin"), { recursive: true });
      cpSync("/bin/busybox", join(root, "bin/busybox"));
      for (const applet of ["sh", "cat", "sleep", "echo", "test", "true", "false"])
        symlinkSync("busybox", join(root, "bin", applet));
      writeFileSync(join(root, broken ? "other" : "word"), word);
      await exec("tar", ["-C", root, "--mtime=@0", "-cf", join(work, "layer.tar"), "."]);
      const image = ["--image", `${work}/layout:it`];
      await exec("umoci", ["init", "--layout", join(work, "layout")]);
      await exec("umoci", ["new", ...image]);
      await exec("umoci", ["raw", "add-layer", ...image, join(work, "layer.tar")]);
      await exec("umoci", ["config", ...image, ...cmd.flatMap((one) => ["--config.cmd", one])]);
      const digestFile = join(work, "digest");
      await exec(
        "skopeo",
        [
          "--insecure-policy",
          "--registries.d",
          registries,
          "copy",
          "--quiet",
          "--dest-tls-verify=false",
          ...(signBy === undefined ? ["--format", "oci"] : ["--format", "v2s2", "--sign-by", signBy.fingerprint]),
          ...(identity === undefined ? [] : ["--sign-identity", identity]),
          "--digestfile",
          digestFile,
          `oci:${work}/layout:it`,
          `docker://${host}/${name}`,
        ],
        { env: { PATH: process.env["PATH"] ?? "", HOME: dir, GNUPGHOME: signBy?.home ?? dir } },
      );
      const { stdout } = await exec("cat", [digestFile]);
      return stdout.trim();
    },
    async dispose() {
      await registry.stop();
      rmSync(dir, { recursive: true, force: true, maxRetries: 5, retryDelay: 50 });
    },
  };
}

/** Lets skopeo speak HTTP with the registry of a lab. */
export function insecureRegistry(etc: string, host: string): void {
  mkdirSync(etc, { recursive: true });
  writeFileSync(join(etc, "registries.conf"), insecure(host));
}

/** A GPG key in a home of its own, and nobody's agent left behind. */
export async function makeGpgKey(dir: string, owner: string): Promise<GpgKey> {
  const home = mkdtempSync(join(tmpdir(), "gpg-")); // its agent's socket needs a short path
  const env = { PATH: process.env["PATH"] ?? "", HOME: home, GNUPGHOME: home };
  await exec("gpg", ["--batch", "--quiet", "--passphrase", "", "--quick-gen-key", owner, "ed25519", "sign", "never"], {
    env,
  });
  const { stdout } = await exec("gpg", ["--batch", "--list-keys", "--with-colons"], { env });
  const fingerprint = /^fpr:+([0-9A-F]+):/m.exec(stdout)?.[1] ?? "";
  const file = join(dir, `${owner.split(" ")[0]?.toLowerCase()}.asc`);
  await exec("gpg", ["--batch", "--armor", "--output", file, "--export", fingerprint], { env });
  return { home, fingerprint, file };
}

export async function removeGpgKey({ home }: GpgKey): Promise<void> {
  const env = { PATH: process.env["PATH"] ?? "", HOME: home, GNUPGHOME: home };
  await exec("gpgconf", ["--kill", "all"], { env, okCodes: "any" });
  rmSync(home, { recursive: true, force: true, maxRetries: 5, retryDelay: 50 });
}

export function makeSigstoreKey(dir: string, name: string): SigstoreKeyPair {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const file = join(dir, name);
  writeFileSync(file, publicKey.export({ type: "spki", format: "pem" }));
  return { privateKey, publicKey, file };
}

/**
 * Signs an image as cosign does: Debian's skopeo can't. A payload that names the manifest, an ECDSA signature of it,
 * and a manifest of attachments under the tag that belongs to the digest.
 */
export async function signSigstore(
  lab: Pick<Lab, "dir" | "host">,
  repository: string,
  digest: string,
  key: SigstoreKeyPair,
  identity: string,
): Promise<void> {
  const dir = mkdtempSync(join(lab.dir, "sig-"));
  mkdirSync(join(dir, "blobs/sha256"), { recursive: true });
  const put = (text: string): { digest: string; size: number } => {
    const hex = createHash("sha256").update(text).digest("hex");
    writeFileSync(join(dir, "blobs/sha256", hex), text);
    return { digest: `sha256:${hex}`, size: Buffer.byteLength(text) };
  };
  const payload = JSON.stringify({
    critical: {
      identity: { "docker-reference": identity },
      image: { "docker-manifest-digest": digest },
      type: "cosign container image signature",
    },
    optional: null,
  });
  const signature = createSign("sha256").update(payload).sign(key.privateKey).toString("base64");
  const layer = {
    mediaType: "application/vnd.dev.cosign.simplesigning.v1+json",
    ...put(payload),
    annotations: { "dev.cosignproject.cosign/signature": signature },
  };
  const rootfs = { type: "layers", diff_ids: [layer.digest] };
  const config = {
    mediaType: "application/vnd.oci.image.config.v1+json",
    ...put(JSON.stringify({ architecture: "", os: "", config: {}, rootfs })),
  };
  const mediaType = "application/vnd.oci.image.manifest.v1+json";
  const manifest = {
    mediaType,
    ...put(JSON.stringify({ schemaVersion: 2, mediaType, config, layers: [layer] })),
  };
  writeFileSync(join(dir, "oci-layout"), '{"imageLayoutVersion":"1.0.0"}');
  writeFileSync(join(dir, "index.json"), JSON.stringify({ schemaVersion: 2, manifests: [manifest] }));
  const tag = `${digest.replace(":", "-")}.sig`;
  await exec("skopeo", [
    "--insecure-policy",
    "copy",
    "--quiet",
    "--dest-tls-verify=false",
    `oci:${dir}`,
    `docker://${lab.host}/${repository}:${tag}`,
  ]);
}
