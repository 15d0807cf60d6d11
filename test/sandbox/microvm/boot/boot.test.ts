import { execFileSync } from "node:child_process";
import {
  chmodSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { cpio } from "../../../../src/sandbox/microvm/boot/cpio.ts";
import {
  buildInitramfs,
  customKernel,
  ensureAgent,
  ensureBootFiles,
  ensureKernel,
} from "../../../../src/sandbox/microvm/boot/index.ts";
import { readModules } from "../../../../src/sandbox/microvm/boot/modules.ts";
import { BOOT_CACHE } from "../../../support/boot-cache.ts";

let directory = "";
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "gantry-boot-"));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

describe("boot files", () => {
  test("are made once and named by what they are made of", async () => {
    const files = await ensureBootFiles({ cacheDir: BOOT_CACHE });
    const made = statSync(files.initramfs).ino;
    expect(await ensureBootFiles({ cacheDir: BOOT_CACHE })).toEqual(files);
    expect(statSync(files.initramfs).ino).toBe(made);
    const listed = execFileSync("cpio", ["-tv", "--quiet"], { input: readFileSync(files.initramfs) }).toString();
    expect(listed).toMatch(/^-rwxr-xr-x .* init$/m);
    expect(listed).toMatch(/^crw------- .* 5, +1 .*dev\/console$/m);
    expect(listed).toContain("modules/erofs.ko");
    expect(readdirSync(BOOT_CACHE).filter((name) => /^\.download|\.\d+$/.test(name))).toEqual([]);
  });

  test("an initramfs that nobody has used for long goes when there is a new one", async () => {
    const [kernel, agent] = await Promise.all([
      ensureKernel({ cacheDir: BOOT_CACHE }),
      ensureAgent({ cacheDir: BOOT_CACHE }),
    ]);
    const monthAgo = new Date(Date.now() - 30 * 24 * 3600 * 1000);
    const [stale, half, recent, other] = [
      "initramfs-0123456789abcdef.cpio",
      "initramfs-0123456789abcdef.cpio.123",
      "initramfs-fedcba9876543210.cpio",
      "initramfs-of-mine.cpio",
    ].map((name) => join(directory, name));
    for (const path of [stale, half, recent, other]) {
      if (path === undefined) throw new Error("no path");
      writeFileSync(path, "");
      if (path !== recent) utimesSync(path, monthAgo, monthAgo);
    }
    const made = await buildInitramfs({ kernel, agent, cacheDir: directory });
    const left = [made.path, recent, other].map((path) => basename(path ?? ""));
    expect(readdirSync(directory).sort()).toEqual(left.sort());
    utimesSync(made.path, monthAgo, monthAgo);
    expect(await buildInitramfs({ kernel, agent, cacheDir: directory })).toEqual(made);
    expect(statSync(made.path).mtimeMs).toBeGreaterThan(monthAgo.getTime());
  });

  test("modules come behind what they need", async () => {
    const kernel = await ensureKernel({ cacheDir: BOOT_CACHE });
    const names = (await readModules(kernel.modules, ["virtio_net", "erofs"])).map((module) => module.name);
    expect(names.indexOf("virtio_ring")).toBeLessThan(names.indexOf("virtio"));
    expect(names.indexOf("virtio")).toBeLessThan(names.indexOf("virtio_net"));
    expect(names.indexOf("net_failover")).toBeLessThan(names.indexOf("virtio_net"));
    await expect(readModules(kernel.modules, ["no_such"])).rejects.toMatchObject({ code: "host-unsupported" });
  });

  test("a kernel of the user's own is known by its header, and brings its modules", async () => {
    const { image, modules } = await ensureKernel({ cacheDir: BOOT_CACHE });
    const kernel = await customKernel(image);
    expect(kernel).toMatchObject({ image, modules });
    expect(kernel.id).toContain(basename(modules));
    // Somewhere without modules, all that it needs must be built in; which this one's name of modules shows.
    const alone = join(directory, "vmlinuz");
    copyFileSync(image, alone);
    chmodSync(alone, 0o644);
    expect((await customKernel(alone)).id).not.toBe(kernel.id);
    const own = await ensureBootFiles({ cacheDir: BOOT_CACHE }, { kernel: image, initramfs: alone });
    expect(own).toMatchObject({ initramfs: alone, kernel: { image } });
  });

  test("a file that will not do as kernel or initramfs is refused, and why", async () => {
    const text = join(directory, "text");
    writeFileSync(text, "no kernel");
    const secret = join(directory, "secret");
    copyFileSync((await ensureKernel({ cacheDir: BOOT_CACHE })).image, secret);
    chmodSync(secret, 0o600);
    const of = (kernel: string) => expect(customKernel(kernel)).rejects;
    await of(text).toMatchObject({ code: "unsupported", message: expect.stringContaining("no Linux kernel") });
    await of(join(directory, "none")).toMatchObject({
      code: "unsupported",
      message: expect.stringContaining("ENOENT"),
    });
    await of(secret).toMatchObject({ code: "unsupported", hint: `chmod o+r ${secret}` });
    await expect(
      ensureBootFiles({ cacheDir: BOOT_CACHE }, { initramfs: join(directory, "none") }),
    ).rejects.toMatchObject({ code: "unsupported", hint: expect.stringContaining("gantry.dev/vm-initramfs") });
  });

  test("an architecture without a kernel is refused", async () => {
    await expect(ensureKernel({ cacheDir: directory, arch: "s390x" })).rejects.toMatchObject({
      code: "host-unsupported",
    });
  });

  test("hosts without apt or a compiler are told so", async () => {
    const path = process.env["PATH"];
    mkdirSync(join(directory, "bin"));
    try {
      process.env["PATH"] = join(directory, "bin");
      await expect(ensureKernel({ cacheDir: directory })).rejects.toMatchObject({
        code: "host-unsupported",
        hint: expect.stringContaining("microvm.kernel"),
      });
      await expect(ensureAgent({ cacheDir: directory })).rejects.toMatchObject({
        code: "command-missing",
        hint: expect.stringContaining("gcc"),
      });
    } finally {
      process.env["PATH"] = path;
    }
    expect(readdirSync(directory)).toEqual(["bin"]);
  });
});

test("cpio unpacks what was packed", () => {
  const archive = cpio([
    { path: "a", type: "directory", mode: 0o750 },
    { path: "a/file", type: "file", mode: 0o640, data: Buffer.from("12345") },
    { path: "a/link", type: "link", target: "file" },
  ]);
  execFileSync("cpio", ["-id", "--quiet"], { cwd: directory, input: archive });
  expect(readFileSync(join(directory, "a/link"), "utf8")).toBe("12345");
  expect(statSync(join(directory, "a")).mode & 0o777).toBe(0o750);
  expect(archive.length % 4).toBe(0);
});
