import { execFile, spawn } from "node:child_process";
import { mkdir, mkdtemp, readlink, rm, stat, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { bindSubPaths, openBelow } from "../../../src/sandbox/namespace/subpath.ts";
import { unmount } from "../../../src/system/mounts.ts";

let base: string;
let volume: string;
beforeEach(async () => {
  base = await mkdtemp(join(tmpdir(), "gantry-subpath-"));
  volume = join(base, "volume");
  await mkdir(volume, { mode: 0o750 });
  await mkdir(join(base, "outside/a"), { recursive: true });
  await writeFile(join(base, "outside/a/secret"), "of the host\n");
});
afterEach(() => rm(base, { recursive: true, force: true }));

/** Where it is that was opened. */
async function found(path: string, create = false): Promise<string> {
  const handle = await openBelow(volume, path, create);
  try {
    return await readlink(`/proc/self/fd/${handle.fd}`);
  } finally {
    await handle.close();
  }
}

describe("a sub path of a volume", () => {
  test("is a file or a directory below it, through links that stay inside", async () => {
    await mkdir(join(volume, "a/b"), { recursive: true });
    await writeFile(join(volume, "a/file"), "");
    await symlink("b/../file", join(volume, "a/link"));
    await symlink("a", join(volume, "..data"));
    expect(await found("a/b")).toBe(join(volume, "a/b"));
    expect(await found("./a//file")).toBe(join(volume, "a/file"));
    expect(await found("..data/link")).toBe(join(volume, "a/file"));
  });

  test("is made where there is nothing, with the mode of the volume", async () => {
    expect(await found("x/y", true)).toBe(join(volume, "x/y"));
    expect((await stat(join(volume, "x/y"))).mode & 0o7777).toBe(0o750);
    await expect(found("not/here")).rejects.toMatchObject({
      code: "volume-failed",
      message: expect.stringContaining("does not exist"),
    });
  });

  test.each([
    ["an absolute link", "/etc", "l", "absolute links"],
    ["a link that goes up", "../outside", "l", "leads out of the volume"],
    ["a link on the way", "..", "l/outside/a", "leads out of the volume"],
    ["a circle", "l", "l", "too many links"],
  ])("%s is refused", async (_, target, path, why) => {
    await symlink(target, join(volume, "l"));
    for (const create of [false, true])
      await expect(found(path, create)).rejects.toMatchObject({
        code: "volume-failed",
        message: expect.stringContaining(why),
      });
  });

  test("a file on the way is refused", async () => {
    await writeFile(join(volume, "file"), "");
    await expect(found("file/x", true)).rejects.toMatchObject({ message: expect.stringContaining("not a directory") });
  });

  test("never leads out, however fast somebody swaps directories and links", async () => {
    // Exchanges "a" (a directory) with "l" (a link out of the volume) as fast as the machine can.
    await mkdir(join(volume, "a/b"), { recursive: true });
    await mkdir(join(base, "outside/b"));
    await symlink("../outside", join(volume, "l"));
    const swap = `
      const { renameSync } = require("node:fs");
      const [dir, link, aside] = process.argv.slice(1);
      process.stdout.write("on");
      for (;;) {
        renameSync(dir, aside); renameSync(link, dir);
        renameSync(dir, link); renameSync(aside, dir);
      }`;
    const paths = ["a", "l", "aside"].map((name) => join(volume, name));
    const attacker = spawn(process.execPath, ["--eval", swap, ...paths]);
    try {
      await new Promise((resolve) => attacker.stdout.once("data", resolve));
      const seen = { inside: 0, refused: 0 };
      for (let n = 0; n < 20_000 && (n < 2000 || seen.inside === 0 || seen.refused === 0); n++) {
        const at = await found("a/b").catch((error: Error) => error);
        if (at instanceof Error) {
          expect(at).toMatchObject({ code: "volume-failed" });
          seen.refused++;
        } else {
          expect(at.startsWith(`${volume}/`)).toBe(true);
          seen.inside++;
        }
      }
      expect(seen.inside).toBeGreaterThan(0);
      expect(seen.refused).toBeGreaterThan(0);
    } finally {
      attacker.kill("SIGKILL");
      await new Promise((resolve) => attacker.once("close", resolve));
    }
  });

  test("is bound as what it was when it was found", async () => {
    await mkdir(join(volume, "a"));
    await writeFile(join(volume, "a/file"), "mine\n");
    const mounts = [
      { volume: "v", mountPath: "/x", subPath: "a/file", readOnly: false, propagation: "None" as const },
      { volume: "v", mountPath: "/y", subPath: "new", readOnly: false, propagation: "None" as const },
      { volume: "v", mountPath: "/z", readOnly: false, propagation: "None" as const },
    ];
    const bound = await bindSubPaths(
      join(base, "bound"),
      mounts,
      [{ name: "v", kind: "emptyDir", hostPath: volume }],
      new AbortController().signal,
    );
    try {
      expect([...bound.keys()]).toEqual(["/x", "/y"]);
      // Turned into a link later, it changes nothing.
      await rm(join(volume, "a"), { recursive: true });
      await symlink("../outside/a", join(volume, "a"));
      const { stdout } = await promisify(execFile)("cat", [bound.get("/x") ?? ""]);
      expect(stdout).toBe("mine\n");
    } finally {
      for (const path of bound.values()) await unmount(path);
    }
  });
});
