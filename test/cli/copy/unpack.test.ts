import { execFileSync } from "node:child_process";
import { lstat, mkdir, mkdtemp, readdir, readFile, readlink, rm, stat, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { Header } from "tar";
import { afterEach, beforeEach, expect, test } from "vitest";
import { pack } from "../../../src/cli/copy/pack.ts";
import { parsePlace, split } from "../../../src/cli/copy/place.ts";
import { unpack } from "../../../src/cli/copy/unpack.ts";

let home: string;
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), "gantry-copy-"));
});
afterEach(() => rm(home, { recursive: true }));

interface Member {
  readonly path: string;
  readonly type?: "File" | "Directory" | "SymbolicLink" | "Link" | "FIFO";
  readonly linkpath?: string;
  readonly text?: string;
  readonly mode?: number;
}

/** An archive as whoever is in the container likes it. */
function archiveOf(members: readonly Member[]): Readable {
  const blocks = members.flatMap(({ text = "", type = "File", mode = 0o644, ...rest }) => {
    const head = Buffer.alloc(512);
    new Header({ ...rest, type, mode, size: text.length, mtime: new Date(1_000_000_000_000) }).encode(head, 0);
    const body = Buffer.alloc(Math.ceil(text.length / 512) * 512);
    body.write(text);
    return [head, body];
  });
  return Readable.from([Buffer.concat([...blocks, Buffer.alloc(1024)])]);
}

const dir = (path: string): Member => ({ path, type: "Directory", mode: 0o755 });

test("files, directories and links come as they are", async () => {
  const archive = archiveOf([
    dir("./etc/"),
    { path: "./etc/a", text: "one", mode: 0o4640 },
    { path: "./etc/link", type: "SymbolicLink", linkpath: "a" },
    { path: "./etc/hard", type: "Link", linkpath: "./etc/a" },
    { path: "./etc/sub/deep", text: "two" },
  ]);
  expect(await unpack(archive, "etc", join(home, "copy"))).toEqual({ files: 4, leftOut: [] });
  expect(await readFile(join(home, "copy/a"), "utf8")).toBe("one");
  // Whoever copies does not make programs that run as another.
  expect((await stat(join(home, "copy/a"))).mode & 0o7777).toBe(0o640);
  expect((await stat(join(home, "copy/a"))).mtimeMs).toBe(1_000_000_000_000);
  expect(await readlink(join(home, "copy/link"))).toBe("a");
  expect(await readFile(join(home, "copy/hard"), "utf8")).toBe("one");
  expect(await readFile(join(home, "copy/sub/deep"), "utf8")).toBe("two");
});

test("nothing is written outside, whatever the archive says", async () => {
  await writeFile(join(home, "mine"), "untouched");
  const archive = archiveOf([
    dir("./x/"),
    { path: "../mine", text: "bad" },
    { path: "./x/../../mine", text: "bad" },
    { path: "/etc/gantry-bad", text: "bad" },
    { path: "./other/a", text: "bad" },
    { path: "./x/out", type: "SymbolicLink", linkpath: ".." },
    { path: "./x/out/mine", text: "bad" },
    { path: "./x/abs", type: "SymbolicLink", linkpath: "/etc/passwd" },
    { path: "./x/in", type: "SymbolicLink", linkpath: "." },
    { path: "./x/in/mine", text: "through a link" },
    { path: "./x/hard", type: "Link", linkpath: "../mine" },
    { path: "./x/pipe", type: "FIFO" },
    { path: "./x/fine", text: "fine" },
  ]);
  const { files, leftOut } = await unpack(archive, "x", join(home, "x"));
  expect(leftOut).toHaveLength(9);
  expect(leftOut.join("\n")).toContain("./x/abs -> /etc/passwd: a link that leads out of what is copied");
  expect(files).toBe(3); // in, fine, and what was to go through the refused link, as a file of its own
  expect(await readFile(join(home, "mine"), "utf8")).toBe("untouched");
  expect((await readdir(home)).sort()).toEqual(["mine", "x"]);
  expect((await lstat(join(home, "x/out"))).isDirectory()).toBe(true);
});

test("a link that is here already is not followed, unless it is the target itself", async () => {
  await mkdir(join(home, "real"));
  await mkdir(join(home, "to"));
  await symlink(join(home, "real"), join(home, "to/sub"));
  await symlink(join(home, "to"), join(home, "named"));
  await writeFile(join(home, "real/file"), "old");
  await symlink(join(home, "real/file"), join(home, "to/file"));
  const archive = archiveOf([
    { path: "./sub/a", text: "x" },
    { path: "./file", text: "new" },
  ]);
  const { leftOut } = await unpack(archive, undefined, join(home, "named"));
  expect(leftOut).toEqual(["./sub/a: a link stands in its way here"]);
  expect(await readFile(join(home, "real/file"), "utf8")).toBe("old");
  expect(await readFile(join(home, "to/file"), "utf8")).toBe("new");
});

test("files and directories do not take each other's place", async () => {
  await writeFile(join(home, "file"), "x");
  await mkdir(join(home, "dir"));
  await expect(unpack(archiveOf([dir("./a/")]), "a", join(home, "file"))).rejects.toMatchObject({ code: "conflict" });
  await expect(unpack(archiveOf([{ path: "./a", text: "1" }]), "a", join(home, "dir"))).rejects.toMatchObject({
    code: "conflict",
    hint: expect.stringContaining("Move it away"),
  });
});

test("what is no archive, or breaks off, is an error", async () => {
  await expect(unpack(Readable.from([Buffer.alloc(2048, "x")]), "a", join(home, "a"))).rejects.toThrow();
  const whole = Buffer.concat(await archiveOf([{ path: "./a", text: "x".repeat(2000) }]).toArray());
  await expect(unpack(Readable.from([whole.subarray(0, 1000)]), "a", join(home, "a"))).rejects.toThrow();
});

test("what is packed here unpacks to the same", async () => {
  await mkdir(join(home, "from/sub"), { recursive: true });
  await writeFile(join(home, "from/@file"), "at");
  await writeFile(join(home, "from/sub/empty"), "");
  await symlink("sub/empty", join(home, "from/link"));
  execFileSync("mkfifo", [join(home, "from/pipe")]);
  const leftOut: string[] = [];
  const note = (what: string): void => void leftOut.push(what);
  await unpack(pack(join(home, "from"), true, "new name", note), "new name", join(home, "to"));
  expect((await readdir(join(home, "to"))).sort()).toEqual(["@file", "link", "sub"]);
  await unpack(pack(join(home, "from/@file"), false, "-other", note), "-other", join(home, "single"));
  expect(await readFile(join(home, "single"), "utf8")).toBe("at");
  await unpack(pack(join(home, "from"), true, undefined, note), undefined, join(home, "content"));
  expect(await readFile(join(home, "content/@file"), "utf8")).toBe("at");
  expect(leftOut).toHaveLength(2);
  expect(leftOut[0]).toContain("pipe: only files, directories and links");
});

test("places", () => {
  expect(parsePlace("web:/etc")).toEqual({ type: "pod", pod: "web", path: "/etc" });
  expect(parsePlace("shop/web:a:b")).toEqual({ type: "pod", pod: "shop/web", path: "a:b" });
  for (const here of ["file", "./a:b", "/tmp/a:b", "../a:b", "."]) expect(parsePlace(here).type).toBe("here");
  for (const bad of ["", ":/etc", "web:"]) expect(() => parsePlace(bad), bad).toThrow();
  expect(split("/a/b/")).toEqual({ parent: "/a", name: "b" });
  expect(split("b")).toEqual({ parent: ".", name: "b" });
  expect(split("/b")).toEqual({ parent: "/", name: "b" });
  expect(split("/a/.")).toEqual({ parent: "/a/.", name: undefined });
  expect(split("/")).toEqual({ parent: "/", name: undefined });
});
