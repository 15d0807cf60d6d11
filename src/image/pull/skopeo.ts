import { mkdir, symlink } from "node:fs/promises";
import { join } from "node:path";
import { isGantryError } from "../../system/errors.ts";
import type { ExecResult } from "../../system/exec.ts";
import { HOST_ARCHITECTURE } from "../architecture.ts";
import { installHint, runTool } from "../tools.ts";

/** How one image is asked for. */
export interface SkopeoCall {
  /** A directory of this pull, made ready by `prepareHome`: working directory and home. */
  readonly temp: string;
  /** For --policy: containers-policy.json(5). */
  readonly policy: string;
  /** For --authfile: containers-auth.json(5). Always given, so that nobody's private one is read. */
  readonly authFile: string;
  readonly signal: AbortSignal;
}

/**
 * skopeo reads a user's ~/.config/containers before the host's /etc/containers, file by file: registries.conf and
 * registries.conf.d (mirrors, insecure and blocked registries), certs.d/HOST:PORT, registries.d (where signatures are).
 * In the home that it gets from us, <etc> is that directory.
 */
export async function prepareHome(temp: string, etc: string): Promise<void> {
  await mkdir(join(temp, ".config"));
  await symlink(etc, join(temp, ".config", "containers"));
}

/**
 * What the registry has under `name`: the manifest, or the index of several platforms, byte for byte.
 * @throws GantryError as `runTool` does
 */
export async function inspectRaw(name: string, call: SkopeoCall): Promise<string> {
  const args = ["inspect", "--raw", "--authfile", call.authFile, `docker://${name}`];
  return (await skopeo(args, call)).stdout;
}

/**
 * Copies an image into <temp>/oci, an OCI layout; blobs that are in it already are not fetched. skopeo checks the
 * policy, and every digest.
 * @param layout another one that shares its blobs
 * @throws GantryError as `runTool` does
 */
export async function copyImage(name: string, call: SkopeoCall, layout = "oci"): Promise<void> {
  const args = [
    "copy",
    "--src-authfile",
    call.authFile,
    // A layout can't hold signatures; they were checked by then.
    "--remove-signatures",
    "--dest-oci-accept-uncompressed-layers",
    // Without it skopeo would not look at what is there already.
    "--dest-shared-blob-dir",
    join(call.temp, "oci", "blobs"),
    `docker://${name}`,
    `oci:${layout}`,
  ];
  await skopeo(args, call);
}

/** Copies a small image as it is into the directory <temp>/<dir>: manifest.json, and each blob by its hex digest. */
export async function copyPlain(name: string, dir: string, call: SkopeoCall): Promise<void> {
  await skopeo(
    ["copy", "--src-authfile", call.authFile, "--remove-signatures", `docker://${name}`, `dir:${dir}`],
    call,
  );
}

/** A pull may take as long as it gets on: whoever watches its progress calls it off. */
const LONGEST_PULL_MS = 24 * 3_600_000;
const PROXY_VARIABLES = ["HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR"];

async function skopeo(args: readonly string[], { temp, policy, signal }: SkopeoCall): Promise<ExecResult> {
  const platform = ["--override-os", "linux", "--override-arch", HOST_ARCHITECTURE];
  // It must not go on when we are killed: nobody would know of it.
  const line = ["--pdeathsig", "KILL", "--", "skopeo", "--policy", policy, "--tmpdir", temp, ...platform, ...args];
  try {
    return await runTool("setpriv", line, { cwd: temp, signal, timeoutMs: LONGEST_PULL_MS, env: environment(temp) });
  } catch (error) {
    const missing = isGantryError(error, "command-failed") && error.details["exitCode"] === 127;
    if (!missing) throw error;
    // Says so in the words that everybody knows.
    return await runTool("skopeo", ["--version"], { signal, installHint: installHint("skopeo") });
  }
}

/** The parts of our own environment that say how to reach a registry, and little else. */
function environment(home: string): Record<string, string> {
  const names = PROXY_VARIABLES.flatMap((name) => [name, name.toLowerCase()]);
  return {
    PATH: process.env["PATH"] ?? "/usr/sbin:/usr/bin:/sbin:/bin",
    LANG: "C",
    HOME: home,
    ...Object.fromEntries(names.flatMap((name) => (process.env[name] ? [[name, process.env[name]]] : []))),
  };
}
