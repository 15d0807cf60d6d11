import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { pipeline } from "node:stream/promises";
import { isGantryError } from "../system/errors.ts";
import { HOST_ARCHITECTURE } from "./architecture.ts";
import { formatBytes, tooBig } from "./limits.ts";
import { invalidImage, runTool } from "./tools.ts";

const DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/**
 * Packs a root filesystem's directory into the tar file `layer`, the same bytes for the same content. Stays on the
 * directory's own filesystem, so that /proc and the like are left out.
 * @throws GantryError image-invalid (can't be read, larger than `maxBytes`), disk-full, cancelled
 */
export async function packDirectory(dir: string, layer: string, maxBytes: number, signal: AbortSignal): Promise<void> {
  // The kernel stops a tar that grows beyond this.
  const args = [`--fsize=${maxBytes}`, "tar", ...packArgs(dir, layer)];
  // Exit code 1: a file changed while it was read, or is a socket; the rest is complete.
  await runTool("prlimit", args, { signal, okCodes: [0, 1] }).catch((error: unknown) => {
    if (isGantryError(error) && /SIGXFSZ|file too large/i.test(`${error.message} ${String(error.details["stderr"])}`)) {
      throw tooBig(`${dir} holds more than ${formatBytes(maxBytes)}`, formatBytes(maxBytes));
    }
    throw invalidImage(error, `${dir} can't be packed`, "Check that every file below it can be read.");
  });
}

/** Arguments of GNU tar that give the same bytes for the same content. */
function packArgs(dir: string, file: string): string[] {
  return [
    "--create",
    "--sparse",
    "--force-local",
    `--file=${file}`,
    `--directory=${dir}`,
    "--one-file-system",
    "--sort=name",
    "--numeric-owner",
    "--xattrs",
    "--xattrs-include=*",
    "--format=posix",
    // Access and change times differ at every reading.
    "--pax-option=exthdr.name=%d/PaxHeaders/%f,delete=atime,delete=ctime",
    ".",
  ];
}

/** "sha256:…" of a directory's content, as a tar of it would have. @throws GantryError command-failed, cancelled */
export async function treeDigest(dir: string, signal: AbortSignal): Promise<string> {
  const script = 'tar "$@" | sha256sum --binary';
  const { stdout } = await runTool("sh", ["-c", script, "sh", ...packArgs(dir, "-")], { signal });
  return `sha256:${/[0-9a-f]{64}/.exec(stdout)?.[0] ?? ""}`;
}

/** The config of an image whose only layer is this root filesystem. The same layer always yields the same config. */
export async function describeRoot(
  layer: string,
  signal: AbortSignal,
): Promise<{ digest: string; size: number; config: object }> {
  const hash = createHash("sha256");
  await pipeline(createReadStream(layer, { highWaterMark: 256 * 1024 }), hash, { signal });
  const digest = `sha256:${hash.digest("hex")}`;
  const { size } = await stat(layer);
  const shell = await hasShell(layer, signal);
  const config = {
    architecture: HOST_ARCHITECTURE,
    os: "linux",
    config: { Env: [`PATH=${DEFAULT_PATH}`], ...(shell ? { Cmd: ["/bin/sh"] } : {}) },
    rootfs: { type: "layers", diff_ids: [digest] },
    history: [{ created_by: "gantry image import", comment: "imported from a root filesystem" }],
  };
  return { digest, size, config };
}

/** Whether the tar file has /bin/sh, also where /bin is a link to /usr/bin. */
async function hasShell(layer: string, signal: AbortSignal): Promise<boolean> {
  const spellings = ["", "./", "/"].flatMap((start) => [`${start}bin/sh`, `${start}usr/bin/sh`]);
  const args = ["--list", "--absolute-names", "--force-local", `--file=${layer}`, ...spellings];
  // It fails when one of the names is missing, as most are.
  const { stdout } = await runTool("tar", args, { signal, okCodes: "any" });
  return stdout.trim() !== "";
}
