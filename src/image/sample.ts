import { chmod, copyFile, lutimes, mkdir, mkdtemp, readdir, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { GantryError } from "../system/errors.ts";
import { readHead } from "./compression.ts";
import type { Image, ImageStore } from "./contract.ts";
import { runTool } from "./tools.ts";

/** The image that the examples and the tests use. */
export const SAMPLE_IMAGE = "localhost/gantry/sample:1";

const INSTALL_HINT = "Install it: apt-get install busybox-static";
const HEAD_BYTES = 64 * 1024;

const FILES: readonly { readonly path: string; readonly mode: number; readonly text: string }[] = [
  {
    path: "etc/passwd",
    mode: 0o644,
    text: "root:x:0:0:root:/root:/bin/sh\napp:x:1000:1000:app:/home/app:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n",
  },
  { path: "etc/group", mode: 0o644, text: "root:x:0:\nstaff:x:50:app\napp:x:1000:\nnogroup:x:65534:\n" },
  { path: "etc/os-release", mode: 0o644, text: 'ID=gantry-sample\nNAME="Gantry sample"\nVERSION_ID=1\n' },
  { path: "www/index.html", mode: 0o644, text: "<!doctype html>\n<title>Gantry</title>\n<p>Hello from a pod.</p>\n" },
  { path: "bin/hello", mode: 0o755, text: '#!/bin/sh\necho "Hello from $(hostname), uid $(id -u)."\n' },
];
const DIRS: readonly { readonly path: string; readonly mode: number; readonly owner?: number }[] = [
  { path: "dev", mode: 0o755 },
  { path: "proc", mode: 0o555 },
  { path: "sys", mode: 0o555 },
  { path: "root", mode: 0o700 },
  { path: "home/app", mode: 0o755, owner: 1000 },
  { path: "var/run", mode: 0o755 },
  { path: "tmp", mode: 0o1777 },
  { path: "var/tmp", mode: 0o1777 },
];

/**
 * Builds and imports the sample image: this machine's static busybox with a link for each of its commands, users
 * root, app (1000) and nobody, /www/index.html, and /bin/hello. The same busybox always gives the same image, and
 * importing that again does nothing.
 * @throws GantryError command-missing (no static busybox), disk-full, cancelled
 */
export async function buildSampleImage(
  store: ImageStore,
  signal: AbortSignal,
  busybox = "/bin/busybox",
): Promise<Image> {
  await requireStatic(busybox);
  const root = await mkdtemp(join(tmpdir(), "gantry-sample-"));
  try {
    for (const { path, owner } of DIRS) {
      const dir = join(root, path);
      await mkdir(dir, { recursive: true });
      if (owner !== undefined) await runTool("chown", [`${owner}:${owner}`, dir]);
    }
    await mkdir(join(root, "bin"), { recursive: true });
    await copyFile(busybox, join(root, "bin/busybox"));
    await chmod(join(root, "bin/busybox"), 0o755);
    await linkCommands(root, busybox, signal);
    for (const { path, mode, text } of FILES) {
      const file = join(root, path);
      await mkdir(dirname(file), { recursive: true });
      await writeFile(file, text);
      await chmod(file, mode);
    }
    await settle(root, "");
    return await store.import(root, SAMPLE_IMAGE, signal);
  } finally {
    await rm(root, { recursive: true, force: true });
  }
}

/** A dynamically linked program names its loader near its beginning; the image has none. */
async function requireStatic(busybox: string): Promise<void> {
  const head = await readHead(busybox, HEAD_BYTES).catch((cause: unknown) => {
    throw new GantryError("command-missing", `${busybox} is missing; the sample image is made of it`, {
      cause,
      hint: INSTALL_HINT,
    });
  });
  if (/\/ld-(linux|musl)/.test(head.toString("latin1"))) {
    throw new GantryError(
      "command-missing",
      `${busybox} is dynamically linked; the sample image needs the static one`,
      { hint: INSTALL_HINT },
    );
  }
}

async function linkCommands(root: string, busybox: string, signal: AbortSignal): Promise<void> {
  const { stdout } = await runTool(busybox, ["--list-full"], { signal });
  const made = new Set<string>();
  for (const command of stdout.split("\n")) {
    // "linuxrc" and busybox itself are no commands of their own.
    if (!/^(usr\/)?s?bin\/[^/]+$/.test(command) || command === "bin/busybox") continue;
    const dir = dirname(command);
    if (!made.has(dir)) await mkdir(join(root, dir), { recursive: true });
    made.add(dir);
    await symlink("/bin/busybox", join(root, command));
  }
}

/** Gives directories their modes, whatever the umask, and everything the same time, so that every run makes the same image. */
async function settle(root: string, path: string): Promise<void> {
  for (const entry of await readdir(join(root, path), { withFileTypes: true })) {
    const child = join(path, entry.name);
    if (entry.isDirectory()) await settle(root, child);
    else await lutimes(join(root, child), 0, 0);
  }
  await chmod(join(root, path), DIRS.find((dir) => dir.path === path)?.mode ?? 0o755);
  await lutimes(join(root, path), 0, 0);
}
