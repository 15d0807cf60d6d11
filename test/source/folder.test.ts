import { execFileSync, spawn } from "node:child_process";
import {
  closeSync,
  existsSync,
  linkSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { createFolderSource, memoryLastGood, type Source, type SourceState } from "../../src/source/index.ts";
import { eventually, images, names, podText, type TempFolder, tempFolder } from "./helpers.ts";

let folder: TempFolder;
let lastGood: ReturnType<typeof memoryLastGood>;
let sources: Source[] = [];

beforeEach(() => {
  folder = tempFolder();
  lastGood = memoryLastGood();
});

afterEach(async () => {
  await Promise.all(sources.map((source) => source.stop()));
  sources = [];
  folder.remove();
});

function open(path = folder.path): Source {
  const source = createFolderSource({ path, lastGood });
  sources.push(source);
  return source;
}

/** A started source whose state is only looked at when it says that something changed. */
async function watched(path = folder.path): Promise<{
  when(done: (state: SourceState) => boolean, what: string): Promise<SourceState>;
  readonly source: Source;
}> {
  const source = open(path);
  let changes = 1;
  await source.start(() => {
    changes += 1;
  });
  let state = await source.read();
  const look = async () => {
    if (changes > 0) {
      changes = 0;
      state = await source.read();
    }
    return state;
  };
  return { source, when: (done, what) => eventually(look, done, what) };
}

const has =
  (...wanted: string[]) =>
  (state: SourceState) =>
    JSON.stringify(names(state)) === JSON.stringify([...wanted].sort());

describe("reading a folder", () => {
  it("finds manifests at any depth and nothing else", async () => {
    folder.write("a.yaml", podText("a"));
    folder.write("deep/er/b.yml", podText("b"));
    folder.write("c.json", JSON.stringify({ apiVersion: "v1", kind: "ConfigMap", metadata: { name: "c" } }));
    for (const other of [
      ".hidden.yaml",
      "a.yaml~",
      ".a.yaml.swp",
      "a.yaml.bak",
      "#a.yaml#",
      "4913",
      "notes.txt",
      ".git/x.yaml",
      "..old/x.yaml",
    ]) {
      folder.write(other, podText("never"));
    }
    expect(names(await open().read())).toEqual(["a", "b", "c"]);
  });

  it("follows links, visits everything once and is not caught in loops", async () => {
    const outside = tempFolder();
    try {
      outside.write("shared/o.yaml", podText("o"));
      folder.write("a.yaml", podText("a"));
      symlinkSync(join(outside.path, "shared"), join(folder.path, "linked"));
      symlinkSync("a.yaml", join(folder.path, "0.yaml"));
      symlinkSync(folder.path, join(folder.path, "loop"));
      symlinkSync("self.yaml", join(folder.path, "self.yaml"));
      linkSync(join(folder.path, "a.yaml"), join(folder.path, "hard.yaml"));
      const state = await open().read();
      expect(names(state)).toEqual(["a", "o"]);
      expect(state.problems.map((problem) => problem.message)).toEqual(["is a symbolic link that leads to itself"]);
    } finally {
      outside.remove();
    }
  });

  it("names what is no file, and never opens it", async () => {
    execFileSync("mkfifo", [join(folder.path, "pipe.yaml")]);
    symlinkSync("nowhere", join(folder.path, "dangling.yaml"));
    const state = await open().read();
    expect(state.problems.map((problem) => problem.message)).toEqual([
      "is a symbolic link to nothing",
      "is neither a file nor a folder",
    ]);
  });

  it("gives the same state without reading when nothing changed", async () => {
    for (let index = 0; index < 50; index += 1) folder.write(`${index}.yaml`, podText(`p${index}`));
    const source = open();
    const steady = await eventually(
      async () => [await source.read(), await source.read()] as const,
      ([a, b]) => a.objects === b.objects,
      "steady",
    );
    expect(steady[0].objects).toHaveLength(50);
  });

  it("keeps the last good version of what is broken, also over a restart", async () => {
    const file = folder.write("a.yaml", `${podText("a", "one:1")}---\n${podText("b", "two:1")}`);
    const first = open();
    expect(names(await first.read())).toEqual(["a", "b"]);
    writeFileSync(file, `${podText("a", "one:2")}---\n${podText("b", "two:2").replace("image", "imgae")}`);
    const broken = await first.read();
    expect(names(broken)).toEqual(["a", "b (stale)"]);
    expect(images(broken)).toEqual(["one:2", "two:1"]);
    expect(broken.problems).toHaveLength(1);
    expect(broken.problems[0]?.place).toEqual({ file, line: 17, column: 5 });
    writeFileSync(file, "a: [");
    for (const source of [first, open()]) {
      const state = await source.read();
      expect(names(state)).toEqual(["a (stale)", "b (stale)"]);
      expect(images(state)).toEqual(["one:2", "two:1"]);
      expect(state.problems).toHaveLength(1);
    }
    writeFileSync(file, podText("b", "two:3"));
    expect(images(await first.read())).toEqual(["two:3"]);
  });

  it("forgets a file that is removed, broken or not", async () => {
    const file = folder.write("a.yaml", podText("a"));
    const source = open();
    await source.read();
    writeFileSync(file, "broken: [");
    expect(names(await source.read())).toEqual(["a (stale)"]);
    unlinkSync(file);
    expect(await source.read()).toEqual({ objects: [], problems: [], held: undefined });
    expect(lastGood.list(source.name)).toEqual([]);
  });

  it("keeps the first known of two definitions and names both, also over a restart", async () => {
    const known = folder.write("z.yaml", podText("web", "known:1"));
    const first = open();
    await first.read();
    const newcomer = folder.write("a.yaml", podText("web", "new:1"));
    for (const source of [first, open()]) {
      const state = await source.read();
      expect(images(state)).toEqual(["known:1"]);
      expect(state.problems.map((problem) => problem.place.file)).toEqual([newcomer, known]);
      expect(state.problems[0]?.message).toContain(`${known}:1:1 as well; that one stays in force`);
    }
    unlinkSync(known);
    expect(images(await first.read())).toEqual(["new:1"]);
  });
});

describe("a folder that can't be trusted", () => {
  it("holds while it is missing and goes on when the same one is back", async () => {
    folder.write("a.yaml", podText("a"));
    const live = await watched();
    renameSync(folder.path, `${folder.path}-away`);
    const held = await live.when((state) => state.held !== undefined, "held");
    expect(names(held)).toEqual(["a"]);
    expect(held.held).toContain("is not there");
    renameSync(`${folder.path}-away`, folder.path);
    await live.when((state) => state.held === undefined && names(state).length === 1, "back");
    folder.write("b.yaml", podText("b"));
    await live.when(has("a", "b"), "watching again");
    unlinkSync(join(folder.path, "a.yaml"));
    await live.when(has("b"), "removed from the same folder");
  });

  it("holds when it is missing from the start, with what the last daemon had", async () => {
    folder.write("a.yaml", podText("a"));
    await open().read();
    folder.remove();
    const live = await watched();
    const state = await live.when(() => true, "read");
    expect(state.held).toContain("is not there");
    expect(names(state)).toEqual(["a (stale)"]);
    mkdirSync(folder.path);
    folder.write("a.yaml", podText("a"));
    await live.when((now) => now.held === undefined && names(now).join() === "a", "accepted as it appears");
  });

  it("holds when a new folder lacks something, and takes it once nothing would go", async () => {
    folder.write("a.yaml", podText("a"));
    folder.write("b.yaml", podText("b"));
    const live = await watched();
    renameSync(folder.path, `${folder.path}-old`);
    try {
      mkdirSync(folder.path);
      folder.write("a.yaml", podText("a"));
      const held = await live.when((state) => state.held?.includes("another folder") === true, "held");
      expect(held.held).toContain("without Pod default/b;");
      expect(names(held)).toEqual(["a", "b"]);
      folder.write("b.yaml", podText("b", "other:1"));
      const back = await live.when((state) => state.held === undefined, "accepted");
      expect(images(back)).toEqual(["busybox:1", "other:1"]);
    } finally {
      rmSync(`${folder.path}-old`, { recursive: true });
    }
  });

  it("takes a folder that is swapped on purpose, by a link", async () => {
    for (const release of ["1", "2"]) folder.write(`release-${release}/a.yaml`, podText(`pod${release}`));
    const link = join(folder.path, "current");
    symlinkSync("release-1", link);
    const live = await watched(link);
    await live.when(has("pod1"), "first");
    symlinkSync("release-2", `${link}.new`);
    renameSync(`${link}.new`, link);
    await live.when((state) => state.held === undefined && names(state).join() === "pod2", "swapped");
  });

  it("holds while a mount hides it", async () => {
    folder.write("a.yaml", podText("a"));
    const live = await watched();
    execFileSync("mount", ["-t", "tmpfs", "gantry-test", folder.path]);
    try {
      const held = await live.when((state) => state.held !== undefined, "held");
      expect(names(held)).toEqual(["a"]);
    } finally {
      execFileSync("umount", [folder.path]);
    }
    await live.when((state) => state.held === undefined && names(state).join() === "a", "back");
    folder.write("b.yaml", podText("b"));
    await live.when(has("a", "b"), "watching again");
  });

  it("holds when it is emptied by its unmounting, and goes on when it is mounted again", async () => {
    execFileSync("mount", ["-t", "tmpfs", "gantry-test", folder.path]);
    folder.write("a.yaml", podText("a"));
    const live = await watched();
    execFileSync("umount", ["-l", folder.path]);
    const held = await live.when((state) => state.held !== undefined, "held");
    expect(names(held)).toEqual(["a"]);
    execFileSync("mount", ["-t", "tmpfs", "gantry-test", folder.path]);
    try {
      folder.write("a.yaml", podText("a"));
      await live.when((state) => state.held === undefined, "mounted again");
    } finally {
      await live.source.stop();
      execFileSync("umount", [folder.path]);
    }
  });
});

describe("watching a folder", () => {
  it("sees files appear, change, move and go, at any depth", async () => {
    const live = await watched();
    folder.write("x/y/a.yaml", podText("a", "one:1"));
    await live.when(has("a"), "added below a new folder");
    folder.write("x/y/a.yaml", podText("a", "one:2"));
    await live.when((state) => images(state).join() === "one:2", "changed");
    renameSync(join(folder.path, "x/y/a.yaml"), join(folder.path, "b.yaml"));
    const moved = await live.when((state) => state.objects[0]?.place.file === join(folder.path, "b.yaml"), "moved");
    expect(moved.problems).toEqual([]);
    unlinkSync(join(folder.path, "b.yaml"));
    await live.when(has(), "removed");
  });

  it("sees an editor save the way vim does", async () => {
    const file = folder.write("a.yaml", podText("a", "one:1"));
    const live = await watched();
    for (const version of ["one:2", "one:3"]) {
      folder.write(".a.yaml.swp", "swap");
      folder.write("4913", "");
      unlinkSync(join(folder.path, "4913"));
      renameSync(file, `${file}~`);
      writeFileSync(file, podText("a", version));
      unlinkSync(`${file}~`);
      unlinkSync(join(folder.path, ".a.yaml.swp"));
      await live.when((state) => images(state).join() === version && names(state).join() === "a", version);
    }
  });

  it("sees Kubernetes swap ..data", async () => {
    folder.write("..1/a.yaml", podText("a", "one:1"));
    symlinkSync("..1", join(folder.path, "..data"));
    symlinkSync("..data/a.yaml", join(folder.path, "a.yaml"));
    const live = await watched();
    await live.when(has("a"), "first");
    for (const [before, now] of [
      ["1", "2"],
      ["2", "3"],
    ] as const) {
      folder.write(`..${now}/a.yaml`, podText("a", `one:${now}`));
      symlinkSync(`..${now}`, join(folder.path, "..data_tmp"));
      renameSync(join(folder.path, "..data_tmp"), join(folder.path, "..data"));
      rmSync(join(folder.path, `..${before}`), { recursive: true });
      const state = await live.when((seen) => images(seen).join() === `one:${now}`, `swap ${now}`);
      expect(state.problems).toEqual([]);
    }
  });

  it("does not act on a file before it is closed", async () => {
    const file = folder.write("a.yaml", podText("a", "one:1"));
    const live = await watched();
    const text = podText("a", "one:2");
    const fd = openSync(file, "w");
    try {
      writeSync(fd, text.slice(0, text.length / 2));
      for (let round = 0; round < 5; round += 1) expect(images(await live.source.read())).toEqual(["one:1"]);
      writeSync(fd, text.slice(text.length / 2));
      const open = await live.source.read();
      expect(images(open)).toEqual(["one:1"]);
      expect(open.problems).toEqual([]);
    } finally {
      closeSync(fd);
    }
    await live.when((state) => images(state).join() === "one:2", "closed");
  });

  it("waits for another process, and takes the file when that dies", async () => {
    const live = await watched();
    const file = join(folder.path, "a.yaml");
    const child = spawn("sh", ["-c", 'exec 3>"$1"; cat >&3; exec sleep 1000', "sh", file], {
      stdio: ["pipe", "ignore", "ignore"],
    });
    try {
      child.stdin.end(podText("a"));
      await eventually(
        async () => (existsSync(file) ? readFileSync(file, "utf8") : ""),
        (seen) => seen === podText("a"),
        "written",
      );
      expect(names(await live.source.read())).toEqual([]);
    } finally {
      child.kill("SIGKILL");
    }
    await live.when(has("a"), "taken");
  });

  it("keeps what a file said while it is rewritten over a restart", async () => {
    const file = folder.write("a.yaml", podText("a"));
    await open().read();
    const fd = openSync(file, "w");
    try {
      expect(names(await open().read())).toEqual(["a (stale)"]);
    } finally {
      closeSync(fd);
    }
  });
});
