import { chmodSync, existsSync, readdirSync, readFileSync, statSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { createManifestWriter, type ManifestWriter, readManifests } from "../../src/source/index.ts";
import { podText, type TempFolder, tempFolder } from "./helpers.ts";

let folder: TempFolder;
let writer: ManifestWriter;

beforeEach(() => {
  folder = tempFolder();
  writer = createManifestWriter([folder.path]);
});

afterEach(() => folder.remove());

const read = (name: string) => readFileSync(join(folder.path, name), "utf8");
const pod = (name: string) => ({ kind: "Pod", namespace: "default", name });
const THREE = `# head\n\n# about a\n${podText("a")}---\n# about b\n${podText("b")}---\n# about c\n${podText("c")}`;

describe("apply", () => {
  it("gives a new object a file of its own, with its text as it was given", async () => {
    const text = `# mine\n${podText("web")}`;
    const [written] = await writer.apply(text);
    expect(written).toEqual({
      kind: "Pod",
      namespace: "default",
      name: "web",
      outcome: "created",
      file: join(folder.path, "pod-default-web.yaml"),
    });
    expect(read("pod-default-web.yaml")).toBe(text);
    expect(readdirSync(folder.path)).toEqual(["pod-default-web.yaml"]);
  });

  it("keeps secrets from other users", async () => {
    await writer.apply("apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {a: b}\n");
    expect(statSync(join(folder.path, "secret-default-s.yaml")).mode & 0o777).toBe(0o600);
  });

  it("replaces a document where it stands and leaves the others alone", async () => {
    folder.write("sub/all.yaml", THREE);
    chmodSync(join(folder.path, "sub/all.yaml"), 0o640);
    const [written] = await writer.apply(`# new b\n${podText("b", "other:2")}`);
    expect(written?.outcome).toBe("configured");
    expect(read("sub/all.yaml")).toBe(
      THREE.replace(`# about b\n${podText("b")}`, `# new b\n${podText("b", "other:2")}`),
    );
    expect(statSync(join(folder.path, "sub/all.yaml")).mode & 0o777).toBe(0o640);
    await writer.apply(podText("a", "other:1"));
    expect(read("sub/all.yaml")).toContain("# about c");
    expect((await readManifests([folder.path])).problems).toEqual([]);
  });

  it("writes nothing when nothing changes", async () => {
    const file = folder.write("a.yaml", podText("a"));
    const before = statSync(file, { bigint: true });
    expect((await writer.apply(`# only a comment\n${podText("a")}`))[0]?.outcome).toBe("unchanged");
    expect(statSync(file, { bigint: true })).toMatchObject({
      ino: before.ino,
      mtimeNs: before.mtimeNs,
      ctimeNs: before.ctimeNs,
    });
  });

  it("puts several objects into one named file, and adds to it later", async () => {
    const both = `${podText("a")}---\n${podText("b")}`;
    expect((await writer.apply(both, "app.yaml")).map((one) => one.outcome)).toEqual(["created", "created"]);
    expect(read("app.yaml")).toBe(both);
    expect((await writer.apply(`${both}---\n${podText("c")}`, "app.yaml")).map((one) => one.outcome)).toEqual([
      "unchanged",
      "unchanged",
      "created",
    ]);
    expect(read("app.yaml")).toBe(`${both}---\n${podText("c")}`);
  });

  it("replaces an item of a List, in YAML and in JSON", async () => {
    const list = `apiVersion: v1\nkind: List\nitems:\n# about a\n- ${podText("a").trimEnd().replaceAll("\n", "\n  ")}\n# about b\n- ${podText("b").trimEnd().replaceAll("\n", "\n  ")}\n`;
    folder.write("list.yaml", list);
    const config = (name: string, value: string) => ({
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: { name },
      data: { k: value },
    });
    folder.write(
      "list.json",
      JSON.stringify({ apiVersion: "v1", kind: "List", items: [config("x", "1"), config("y", "1")] }),
    );
    await writer.apply(podText("b", "other:2"));
    await writer.apply(JSON.stringify(config("y", "no")));
    const [head, tail] = list.split("# about b\n");
    expect(read("list.yaml").startsWith(`${head}# about b\n- apiVersion: v1\n  kind: Pod\n`)).toBe(true);
    expect(tail).toContain("busybox:1");
    expect(read("list.yaml")).toContain("        image: other:2\n");
    await writer.remove(pod("a"));
    expect(read("list.yaml").startsWith("apiVersion: v1\nkind: List\nitems:\n# about b\n- ")).toBe(true);
    expect((await readManifests([folder.path])).problems).toEqual([]);
    expect(JSON.parse(read("list.json"))).toMatchObject({ items: [config("x", "1"), config("y", "no")] });
  });

  it("writes JSON as YAML that no reader misunderstands", async () => {
    await writer.apply(
      JSON.stringify({
        apiVersion: "v1",
        kind: "ConfigMap",
        metadata: { name: "c" },
        data: { a: "yes", b: "0644", c: "1:30", d: "x\ny\n" },
      }),
    );
    expect(read("configmap-default-c.yaml")).toMatch(/a: "yes"\n\s+b: "0644"\n\s+c: "1:30"\n\s+d: \|\n/);
  });

  it("leaves what has no effect where it stands; several files may have it", async () => {
    const namespace = "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n";
    folder.write("all.yaml", `${namespace}---\n${podText("a")}`);
    await writer.apply(`${namespace}---\n${podText("a", "other:2")}`);
    expect(read("all.yaml")).toBe(`${namespace}---\n${podText("a", "other:2")}`);
    await writer.apply(`${namespace}---\n${podText("n")}`);
    expect(read("pod-default-n.yaml")).not.toContain("Namespace");
    folder.write("more.yaml", `${namespace}---\n${podText("m")}`);
    await writer.apply(`${namespace}---\n${podText("m", "other:2")}---\n${namespace}`);
    expect((await readManifests([folder.path])).problems).toEqual([
      expect.objectContaining({ severity: "warning", object: "Namespace shop" }),
      expect.objectContaining({ severity: "warning", object: "Namespace shop" }),
    ]);
    await writer.remove({ kind: "Namespace", namespace: undefined, name: "shop" });
    expect(read("all.yaml") + read("more.yaml")).not.toContain("Namespace");
  });

  it("mends a broken object in its file", async () => {
    folder.write("a.yaml", `${podText("a").replace("image", "imgae")}---\n${podText("b")}`);
    expect((await writer.apply(podText("a", "good:1")))[0]?.outcome).toBe("configured");
    expect((await readManifests([folder.path])).problems).toEqual([]);
  });

  it.each([
    ["nothing valid", podText("a").replace("image", "imgae"), undefined, "did you mean 'image'?"],
    ["no object at all", "# nothing\n", undefined, "there is no manifest in it"],
    ["an object twice", `${podText("a")}---\n${podText("a")}`, undefined, "Pod default/a is there twice"],
    ["a path as a name", podText("n"), "../n.yaml", "is no name for a manifest file"],
    ["a name that is no manifest's", podText("n"), "n.txt", "is no name for a manifest file"],
    ["a name that is taken", podText("n"), "known.yaml", "is there already"],
    ["several objects for a JSON file", `${podText("n")}---\n${podText("m")}`, "n.json", "can't hold several objects"],
    ["an object in two files", podText("double"), undefined, "Pod default/double is defined twice"],
    ["a linked file", podText("linked", "x:2"), undefined, "is a symbolic link"],
    ["a read-only file", podText("fixed", "x:2"), undefined, "is read-only"],
  ])("refuses %s and changes nothing", async (_what, text, name, message) => {
    const outside = tempFolder();
    try {
      folder.write("known.yaml", podText("known"));
      folder.write("1.yaml", podText("double"));
      folder.write("2.yaml", podText("double"));
      symlinkSync(outside.write("linked.yaml", podText("linked")), join(folder.path, "linked.yaml"));
      chmodSync(folder.write("fixed.yaml", podText("fixed")), 0o444);
      const before = readdirSync(folder.path).map((file) => [file, read(file)]);
      await expect(writer.apply(text, name)).rejects.toThrow(message);
      expect(readdirSync(folder.path).map((file) => [file, read(file)])).toEqual(before);
    } finally {
      outside.remove();
    }
  });
});

describe("remove", () => {
  it("takes documents out one by one, and the file with the last", async () => {
    const file = folder.write("all.yaml", THREE);
    await writer.remove(pod("b"));
    expect(read("all.yaml")).toBe(`# head\n\n# about a\n${podText("a")}---\n# about c\n${podText("c")}`);
    await writer.remove(pod("a"));
    expect(read("all.yaml")).toBe(`# head\n\n---\n# about c\n${podText("c")}`);
    expect(await writer.remove(pod("c"))).toBe(file);
    expect(existsSync(file)).toBe(false);
  });

  it("takes items out of a List", async () => {
    const config = (name: string) => ({ apiVersion: "v1", kind: "ConfigMap", metadata: { name } });
    folder.write("list.json", JSON.stringify({ apiVersion: "v1", kind: "List", items: [config("x"), config("y")] }));
    await writer.remove({ kind: "ConfigMap", namespace: "default", name: "x" });
    expect(JSON.parse(read("list.json"))).toMatchObject({ items: [config("y")] });
    await writer.remove({ kind: "ConfigMap", namespace: "default", name: "y" });
    expect(readdirSync(folder.path)).toEqual([]);
  });

  it("says when there is no such object, and when there are two", async () => {
    await expect(writer.remove(pod("a"))).rejects.toMatchObject({ code: "not-found" });
    folder.write("1.yaml", podText("a"));
    folder.write("2.yaml", podText("a"));
    await expect(writer.remove(pod("a"))).rejects.toMatchObject({ code: "conflict" });
  });
});

describe("readManifests", () => {
  it("reads files and folders once, and names what is not there and what is there twice", async () => {
    const first = folder.write("a.yaml", podText("a"));
    folder.write("sub/a.yaml", podText("a"));
    const odd = folder.write("odd.txt", podText("odd"));
    const { objects, problems } = await readManifests([first, folder.path, odd, join(folder.path, "none.yaml")]);
    expect(objects.map((loaded) => loaded.object.metadata.name)).toEqual(["a", "odd"]);
    expect(problems.map((problem) => problem.place.file.slice(folder.path.length))).toEqual([
      "/a.yaml",
      "/none.yaml",
      "/sub/a.yaml",
    ]);
  });
});
