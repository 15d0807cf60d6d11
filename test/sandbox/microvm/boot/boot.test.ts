import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { cpio } from "../../../../src/sandbox/microvm/boot/cpio.ts";
import { ensureAgent, ensureBootFiles, ensureKernel } from "../../../../src/sandbox/microvm/boot/index.ts";
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
    const made = statSync(files.initramfs).mtimeMs;
    expect(await ensureBootFiles({ cacheDir: BOOT_CACHE })).toEqual(files);
    expect(statSync(files.initramfs).mtimeMs).toBe(made);
    const listed = execFileSync("cpio", ["-tv", "--quiet"], { input: readFileSync(files.initramfs) }).toString();
    expect(listed).toMatch(/^-rwxr-xr-x .* init$/m);
    expect(listed).toMatch(/^crw------- .* 5, +1 .*dev\/console$/m);
    expect(listed).toContain("modules/erofs.ko");
    expect(readdirSync(BOOT_CACHE).filter((name) => /^\.download|\.\d+$/.test(name))).toEqual([]);
  });

  test("modules come behind what they need", async () => {
    const kernel = await ensureKernel({ cacheDir: BOOT_CACHE });
    const names = (await readModules(kernel.modules, ["virtio_net", "erofs"])).map((module) => module.name);
    expect(names.indexOf("virtio_ring")).toBeLessThan(names.indexOf("virtio"));
    expect(names.indexOf("virtio")).toBeLessThan(names.indexOf("virtio_net"));
    expect(names.indexOf("net_failover")).toBeLessThan(names.indexOf("virtio_net"));
    await expect(readModules(kernel.modules, ["no_such"])).rejects.toMatchObject({ code: "host-unsupported" });
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
