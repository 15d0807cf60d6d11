import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { gitSourceSchema } from "../../../src/source/git/index.ts";
import { parseModules, specOf } from "../../../src/source/git/submodules.ts";
import { identities, imageOf, Lab, pod, refusal, WorkTree } from "./lab.ts";

let lab: Lab;
beforeEach(() => {
  lab = new Lab();
});
afterEach(() => lab.close());

/** One that a repository beside it may have as a submodule. */
function library(name: string): WorkTree {
  return new WorkTree(join(lab.path, name));
}

function addSubmodule(tree: WorkTree, url: string, path: string): void {
  tree.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", url, path);
}

/** The submodule of the work tree goes to the newest commit of its origin. */
function update(tree: WorkTree, path: string): void {
  tree.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "update", "--remote", path);
}

test("submodules: off by default; with the option their manifests count at the commit that the repository names", async () => {
  const inner = library("inner");
  inner.write("deep.yaml", pod("deep")).commit();
  const shared = library("shared");
  shared.write("db.yaml", pod("db"));
  addSubmodule(shared, "../inner", "in");
  shared.commit();
  const origin = lab.repository();
  origin.write("web.yaml", pod("web"));
  addSubmodule(origin, "../shared", "lib/shared");
  const one = origin.commit();

  const off = await lab.source({ url: origin.path, name: "off" });
  await off.source.sync();
  expect(identities(off.state())).toEqual(["Pod default/web"]);
  expect(off.state().problems).toMatchObject([
    { severity: "warning", place: { file: "git:off/lib/shared" }, message: expect.stringContaining("submodule") },
  ]);

  const { source, state } = await lab.source({ url: origin.path, submodules: true });
  await source.sync();
  expect(identities(state())).toEqual(["Pod default/db", "Pod default/deep", "Pod default/web"]);
  expect(state().problems).toEqual([]);
  expect(state().objects.map(({ place }) => place.file)).toContain("git:pods/lib/shared/in/deep.yaml");

  // What changes in the other repository changes nothing until this one says so; then only that.
  shared.write("db.yaml", pod("db", { image: "db:2" })).commit();
  expect(await source.sync()).toBe(false);
  update(origin, "lib/shared");
  origin.commit();
  expect(await source.sync()).toBe(true);
  expect(imageOf(state(), "db")).toBe("db:2");

  // Back, also from a copy that was tidied up, and with the other repository gone.
  shared.remove("../shared");
  await source.rollback(one);
  expect(imageOf(state(), "db")).toBe("busybox:1");
  await source.stop();
  const again = await lab.source({ url: origin.path, submodules: true });
  expect(identities(again.state())).toEqual(["Pod default/db", "Pod default/deep", "Pod default/web"]);
});

test("a folder in a submodule, and the option given later", async () => {
  const shared = library("shared");
  shared.write("apps/db.yaml", pod("db")).write("other/no.yaml", pod("no")).commit();
  const origin = lab.repository();
  addSubmodule(origin, "../shared", "shared");
  origin.write("web.yaml", pod("web")).commit();
  const inside = await lab.source({ url: origin.path, name: "inside", path: "shared/apps", submodules: true });
  await inside.source.sync();
  expect(identities(inside.state())).toEqual(["Pod default/db"]);

  const before = await lab.source({ url: origin.path });
  await before.source.sync();
  await before.source.stop();
  const after = await lab.source({ url: origin.path, submodules: true });
  expect(identities(after.state())).toEqual(["Pod default/web"]);
  expect(await after.source.sync()).toBe(true);
  expect(identities(after.state())).toEqual(["Pod default/db", "Pod default/no", "Pod default/web"]);
});

test("a submodule that can't be had is told, and what is in force stays", async () => {
  const shared = library("shared");
  shared.write("db.yaml", pod("db")).commit();
  const origin = lab.repository();
  origin.write("web.yaml", pod("web")).commit();
  const { source, state } = await lab.source({ url: origin.path, submodules: true });
  await source.sync();
  addSubmodule(origin, "../shared", "shared");
  origin.commit();
  shared.remove("../shared");
  const failure = await refusal(source.sync());
  expect(failure.code).toBe("source-failed");
  expect(failure.message).toContain(
    `submodule shared (${join(lab.path, "shared")}): there is no repository at this URL`,
  );
  expect(identities(state())).toEqual(["Pod default/web"]);
});

describe("where a submodule may lead", () => {
  const spec = (url: string, more = {}) => gitSourceSchema.parse({ name: "pods", url, submodules: true, ...more });
  const found = (url: string, written: string, more = {}) => specOf(spec(url, more), written, "lib");

  test.each([
    ["https://example.com/team/pods.git", "../lib.git", "https://example.com/team/lib.git"],
    ["https://example.com/team/pods.git", "../../other/lib.git", "https://example.com/other/lib.git"],
    ["https://example.com/team/pods/", "./lib", "https://example.com/team/pods/lib"],
    ["git@example.com:team/pods.git", "../lib.git", "git@example.com:team/lib.git"],
    ["git@example.com:pods.git", "../lib.git", "git@example.com:lib.git"],
    ["git@example.com:pods.git", "../../../../etc", "git@example.com:etc"],
    ["ssh://git@example.com/team/pods.git", "https://example.org/lib.git", "https://example.org/lib.git"],
    ["/srv/git/pods.git", "../lib.git", "/srv/git/lib.git"],
    ["file:///srv/git/pods.git", "../lib.git", "file:///srv/git/lib.git"],
  ])("%s with %s: %s", (url, written, expected) => {
    expect(found(url, written).url).toBe(expected);
  });

  test.each([
    ["https://example.com/pods.git", "/etc", "leads to a path of this host"],
    ["https://example.com/pods.git", "file:///etc", "leads to a path of this host"],
    ["https://example.com/pods.git", "http://example.com/lib.git", "can be changed on its way"],
    ["https://example.com/pods.git", "ext::sh -c id", "its URL"],
    ["https://example.com/pods.git", "--upload-pack=id", "its URL"],
    ["https://example.com/pods.git", "ssh://-oProxyCommand=id/x", "its URL"],
  ])("%s with %s is refused: %s", (url, written, why) => {
    expect(() => found(url, written)).toThrow(why);
  });

  test("what lets us in at one host is shown to no other", () => {
    const secrets = { username: "me", passwordFile: "/etc/token" };
    const here = found("https://example.com/pods.git", "../lib.git", secrets);
    expect(here).toMatchObject(secrets);
    const there = found("https://example.com/pods.git", "https://example.org/lib.git", secrets);
    expect(there).not.toHaveProperty("passwordFile");
    expect(there).not.toHaveProperty("username");
    expect(found("git@a.example:p.git", "git@b.example:p.git", { sshKey: "/k" })).not.toHaveProperty("sshKey");
  });

  test("what .gitmodules says, as Git prints it", () => {
    const text = "submodule.a.b.path\nlib/a\0submodule.a.b.url\n../a.git\0submodule.c.url\n../c.git\0";
    expect([...parseModules(text)]).toEqual([["lib/a", "../a.git"]]);
  });
});
