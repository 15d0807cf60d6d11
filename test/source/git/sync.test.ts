import { existsSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { followLinks, selectManifests, type TreeEntry } from "../../../src/source/git/tree.ts";
import { identities, imageOf, Lab, pod, podFact, refusal, still } from "./lab.ts";

let lab: Lab;
beforeEach(() => {
  lab = new Lab();
});
afterEach(() => lab.close());

test("what is pushed comes into force, and status tells whose it is", async () => {
  const origin = lab.repository();
  const first = origin.write("web.yaml", pod("web")).commit("Add web");
  const { source, state } = await lab.source({ url: origin.path });
  expect(await source.sync()).toBe(true);
  expect(identities(state())).toEqual(["Pod default/web"]);
  expect(state().objects[0]?.place.file).toBe("git:pods/web.yaml");
  const status = source.status(false);
  expect(status).toMatchObject({ sync: "Synced", health: "Healthy", ref: "the default branch" });
  expect(status.revision).toMatchObject({ oid: first, author: "Ada Lovelace <ada@example.com>", subject: "Add web" });
  expect(await source.sync()).toBe(false);
  const before = state().objects[0];
  origin.write("db.yaml", pod("db")).remove("nothing").commit("Add db");
  expect(await source.sync()).toBe(true);
  expect(identities(state())).toEqual(["Pod default/db", "Pod default/web"]);
  // What did not change is the very same object: nothing compares it again.
  expect(state().objects.includes(before as never)).toBe(true);
  origin.remove("web.yaml").commit("Remove web");
  await source.sync();
  expect(identities(state())).toEqual(["Pod default/db"]);
});

test("branch, tag, semver range, commit and a folder of the repository", async () => {
  const origin = lab.repository();
  const old = origin
    .write("host/web.yaml", pod("web", { image: "web:1" }))
    .write("other/no.yaml", "not: a manifest\n")
    .commit();
  origin.git("tag", "-a", "v1.2.0", "-m", "1.2");
  origin.write("host/web.yaml", pod("web", { image: "web:2" })).commit();
  origin.git("tag", "v1.10.0");
  origin.write("host/web.yaml", pod("web", { image: "web:3" })).commit();
  origin.git("tag", "v2.0.0");
  origin.git("branch", "next");
  const cases = [
    [{ branch: "next" }, "web:3"],
    [{ tag: "v1.2.0" }, "web:1"],
    [{ semver: "^1" }, "web:2"],
    [{ semver: ">=1" }, "web:3"],
    [{ commit: old }, "web:1"],
  ] as const;
  for (const [index, [ref, image]] of cases.entries()) {
    const { source, state } = await lab.source({
      ...ref,
      name: `case${index}`,
      url: `file://${origin.path}`,
      path: "./host/",
    });
    await source.sync();
    expect([ref, imageOf(state(), "web")]).toEqual([ref, image]);
  }
  const { source } = await lab.source({ name: "none", url: origin.path, semver: "^9" });
  expect(await refusal(source.sync())).toMatchObject({ code: "source-failed", message: expect.stringContaining("^9") });
  const { source: branch } = await lab.source({ name: "branch", url: origin.path, branch: "gone" });
  expect((await refusal(branch.sync())).message).toContain("has no branch gone");
});

test("a force push and a rewritten history are followed", async () => {
  const origin = lab.repository();
  origin.write("web.yaml", pod("web", { image: "web:1" })).commit();
  origin.write("web.yaml", pod("web", { image: "web:2" })).commit();
  const { source, state } = await lab.source({ url: origin.path });
  await source.sync();
  origin.git("checkout", "--quiet", "--orphan", "anew");
  origin.write("web.yaml", pod("web", { image: "web:3" })).commit();
  origin.git("branch", "-f", "main", "anew");
  origin.git("checkout", "--quiet", "main");
  await source.sync();
  expect(imageOf(state(), "web")).toBe("web:3");
});

test("a revision with an error is refused as a whole, and a fix ends that", async () => {
  const origin = lab.repository();
  origin.write("web.yaml", pod("web", { image: "web:1" })).commit();
  const { source, state, read } = await lab.source({ url: origin.path });
  await source.sync();
  origin
    .write("web.yaml", pod("web", { image: "web:2" }))
    .write("broken.yaml", "kind: Pod\nspec: [\n")
    .commit("Break it");
  expect((await refusal(source.sync())).code).toBe("invalid-manifest");
  expect(imageOf(state(), "web")).toBe("web:1");
  expect(source.status(false)).toMatchObject({
    sync: "Failed",
    message: expect.stringContaining("git:pods/broken.yaml:"),
  });
  expect((await read()).problems.some(({ place }) => place.file === "git:pods/broken.yaml")).toBe(true);
  expect(source.status(false).history.map(({ outcome }) => outcome)).toEqual(["Refused", "Healthy"]);
  await refusal(source.sync());
  expect(source.status(false).history).toHaveLength(2); // told once
  origin.remove("broken.yaml").commit("Mend it");
  await source.sync();
  expect(imageOf(state(), "web")).toBe("web:2");
  expect((await read()).problems).toEqual([]);
  expect(source.status(false).sync).toBe("Synced");
});

test("file by file: what is good comes into force, a broken file keeps its last good version", async () => {
  const origin = lab.repository();
  origin
    .write("web.yaml", pod("web", { image: "web:1" }))
    .write("db.yaml", pod("db", { image: "db:1" }))
    .commit();
  const { source, state } = await lab.source({ url: origin.path, policy: "per-file" });
  await source.sync();
  origin
    .write("web.yaml", "kind: Pod\nspec: [\n")
    .write("db.yaml", pod("db", { image: "db:2" }))
    .commit();
  await source.sync();
  expect([imageOf(state(), "web"), imageOf(state(), "db")]).toEqual(["web:1", "db:2"]);
  expect(state().objects.find(({ object }) => object.metadata.name === "web")?.stale).toBe(true);
  await source.stop();
  // Also after a restart.
  const again = await lab.source({ url: origin.path, policy: "per-file" });
  expect(imageOf(await again.read(), "web")).toBe("web:1");
});

test("an emptied repository takes nothing away, unless that is meant", async () => {
  const origin = lab.repository();
  origin.write("web.yaml", pod("web")).commit();
  const { source, state } = await lab.source({ url: origin.path });
  await source.sync();
  origin.remove("web.yaml").write("README.md", "moved").commit("Empty it");
  expect((await refusal(source.sync())).message).toContain("no manifests any more, and one object is in force");
  expect(identities(state())).toEqual(["Pod default/web"]);
  expect(await source.sync({ allowEmpty: true, insist: false })).toBe(true);
  expect(identities(state())).toEqual([]);
});

test("file by file: a broken file does not let an emptied repository take everything away", async () => {
  const origin = lab.repository();
  origin.write("web.yaml", pod("web")).write("db.yaml", pod("db")).commit();
  const { source, state } = await lab.source({ url: origin.path, policy: "per-file" });
  await source.sync();
  origin.remove("web.yaml").remove("db.yaml").write("new.yaml", "kind: Pod\nspec: [\n").commit();
  expect((await refusal(source.sync())).message).toContain("any more, and 2 objects are in force");
  origin.write("web.yaml", "kind: Pod\nspec: [\n").commit();
  await source.sync();
  expect(identities(state())).toEqual(["Pod default/web"]);
});

test("what must not be pruned stays, over restarts too", async () => {
  const origin = lab.repository();
  origin
    .write("web.yaml", pod("web"))
    .write("db.yaml", pod("db", { annotations: { "gantry.dev/prune": "false" } }))
    .commit();
  const { source, state } = await lab.source({ url: origin.path });
  await source.sync();
  origin
    .remove("db.yaml")
    .write("web.yaml", pod("web", { image: "web:2" }))
    .commit();
  await source.sync();
  origin.write("web.yaml", pod("web", { image: "web:3" })).commit();
  await source.sync();
  expect(identities(state())).toEqual(["Pod default/db", "Pod default/web"]);
  await source.stop();
  const again = await lab.source({ url: origin.path });
  expect(identities(await again.read())).toEqual(["Pod default/db", "Pod default/web"]);
});

test("the last revision is in force while the remote is gone, also after a restart", async () => {
  const origin = lab.repository();
  origin.write("web.yaml", pod("web")).commit();
  let now = 1_000_000;
  const clock = still(() => now);
  const { source, state } = await lab.source({ url: origin.path }, { clock });
  await source.sync();
  origin.git("config", "core.bare", "false");
  renameSync(origin.path, `${origin.path}.away`);
  now += 60_000;
  expect((await refusal(source.sync())).code).toBe("source-failed");
  now -= 500_000; // the clock was set back
  await refusal(source.sync());
  expect(identities(state())).toEqual(["Pod default/web"]);
  expect(source.status(false)).toMatchObject({ sync: "Failed", failingSince: 1_060_000, fetchedAt: 1_000_000 });
  await source.stop();
  const again = await lab.source({ url: origin.path }, { clock });
  expect(identities(await again.read())).toEqual(["Pod default/web"]);
  renameSync(`${origin.path}.away`, origin.path);
  await again.source.sync();
  expect(again.source.status(false).sync).toBe("Synced");
});

test("a copy that was damaged holds everything until it is fetched anew", async () => {
  const origin = lab.repository();
  origin.write("web.yaml", pod("web")).commit();
  const { source } = await lab.source({ url: origin.path });
  await source.sync();
  await source.stop();
  rmSync(join(lab.path, "copies", "pods", "objects"), { recursive: true });
  const again = await lab.source({ url: origin.path });
  expect((await again.read()).held).toContain("everything stays as it is");
  await again.source.sync();
  expect((await again.read()).held).toBeUndefined();
  expect(identities(await again.read())).toEqual(["Pod default/web"]);
});

test("a lock that a killed git left is no hindrance", async () => {
  const origin = lab.repository();
  origin.write("web.yaml", pod("web")).commit();
  const { source } = await lab.source({ url: origin.path });
  await source.sync();
  await source.stop();
  for (const name of ["shallow.lock", "packed-refs.lock", "refs/gantry/incoming.lock"])
    writeFileSync(join(lab.path, "copies", "pods", name), "");
  const begun = join(lab.path, "copies", "pods", "objects", "pack", "tmp_pack_x");
  writeFileSync(begun, "");
  origin.write("web.yaml", pod("web", { image: "web:2" })).commit();
  const again = await lab.source({ url: origin.path });
  await again.source.sync();
  expect(imageOf(again.state(), "web")).toBe("web:2");
  expect(existsSync(begun)).toBe(false);
});

test("links by way of links, and links that are none", async () => {
  const origin = lab.repository();
  origin
    .write("shared/real.yaml", pod("db"))
    .write("shared/other.yaml", pod("other"))
    .link("shared/db.yaml", "real.yaml")
    .link("app/db.yaml", "../shared/db.yaml")
    .commit();
  const { source, state } = await lab.source({ url: origin.path, path: "app" });
  await source.sync();
  expect(identities(state())).toEqual(["Pod default/db"]);
  const long = origin.write("long", "x/".repeat(4000)).git("hash-object", "-w", "long");
  origin.git("update-index", "--add", "--cacheinfo", `120000,${long},app/long.yaml`);
  origin.git("commit", "--quiet", "-m", "Long");
  expect((await refusal(source.sync())).message).toContain("is a symbolic link that is too long");
});

test("links that name the same folder over and over end somewhere", () => {
  const all = [
    ...Array.from({ length: 200 }, (_, index) => entry(`app/${index}`, "120000")),
    ...Array.from({ length: 500 }, (_, index) => entry(`shared/${index}.yaml`)),
  ];
  const links = all.filter(({ mode }) => mode === "120000");
  const { files, complaints } = followLinks(links, all, "app", () => "../shared");
  expect(files.length).toBeLessThan(11_000);
  expect(complaints).toMatchObject([{ severity: "error", message: expect.stringContaining("too many") }]);
  const deep = selectManifests([entry(`${"d/".repeat(3000)}a.yaml`)], "");
  expect(deep.files).toEqual([]);
  expect(deep.complaints).toMatchObject([{ path: expect.stringMatching(/^.{1,101}$/), severity: "error" }]);
});

function entry(path: string, mode = "100644"): TreeEntry {
  return { mode, type: "blob", oid: "0", size: 9, path };
}

test("links, names, line ends, large files: a repository can't reach beyond itself", async () => {
  const origin = lab.repository();
  origin
    .write("app/web.yaml", pod("web").replaceAll("\n", "\r\n"))
    .write("shared/db.yaml", pod("db"))
    .link("app/shared", "../shared")
    .link("app/again.yaml", "web.yaml")
    .write("app/-rf.yaml", pod("dash"))
    .write("app/big.bin", Buffer.alloc(20 * 2 ** 20, 1))
    .write("app/.hidden/no.yaml", "x: [")
    .commit();
  const { source, state } = await lab.source({ url: origin.path, path: "app" });
  await source.sync();
  expect(identities(state())).toEqual(["Pod default/dash", "Pod default/db", "Pod default/web"]);
  expect(state().problems).toEqual([]);
  for (const target of ["/etc/passwd", "../../outside.yaml", "../.git/config"]) {
    origin.link("app/evil.yaml", target).commit();
    expect((await refusal(source.sync())).message).toContain("leaves the repository");
    origin.remove("app/evil.yaml");
  }
  origin.write("app/huge.yaml", `# ${"x".repeat(6 * 2 ** 20)}\n${pod("huge")}`).commit();
  expect((await refusal(source.sync())).message).toContain("huge.yaml");
  origin.remove("app/huge.yaml").write("app/kustomization.yaml", "resources: []\n").commit();
  expect((await refusal(source.sync())).message).toContain("Kustomize");
  expect(identities(state())).toContain("Pod default/web");
  expect(existsSync(join(lab.path, "copies", "pods", "hooks"))).toBe(false);
});

test("a case-only rename is a rename", async () => {
  const origin = lab.repository();
  origin.write("Web.yaml", pod("web", { image: "web:1" })).commit();
  const { source, state } = await lab.source({ url: origin.path });
  await source.sync();
  origin.git("mv", "-f", "Web.yaml", "web.yaml");
  origin.write("web.yaml", pod("web", { image: "web:2" })).commit();
  await source.sync();
  expect(imageOf(state(), "web")).toBe("web:2");
  expect(state().objects).toHaveLength(1);
  // Two names that differ by case alone are two files.
  origin.write("WEB.yaml", pod("web2")).commit();
  await source.sync();
  expect(identities(state())).toEqual(["Pod default/web", "Pod default/web2"]);
});

test("pods that don't become ready take their revision back, until there is a new commit", async () => {
  const origin = lab.repository();
  let now = 1_000_000;
  const good = origin.write("web.yaml", pod("web", { image: "web:1" })).commit("Good");
  const { source, state, pods, hooks } = await lab.source(
    { url: origin.path },
    { clock: still(() => now), deadlineMs: 60_000 },
  );
  pods.push(podFact("web"));
  await source.sync();
  expect(source.status(false).history[0]).toMatchObject({ outcome: "Healthy" });
  const bad = origin.write("web.yaml", pod("web", { image: "web:bad" })).commit("Bad");
  hooks.onLook = () => {
    const since = imageOf(state(), "web") === "web:bad" ? undefined : 0;
    const message = "app: CrashLoopBackOff";
    pods[0] = podFact("web", {
      readySince: since,
      health: since === 0 ? "Healthy" : "Degraded",
      message,
      version: "2",
    });
  };
  await source.sync();
  source.podsChanged();
  expect(imageOf(state(), "web")).toBe("web:bad");
  now += 60_001;
  source.podsChanged();
  await source.sync({}); // after what was asked before
  expect(imageOf(state(), "web")).toBe("web:1");
  const status = source.status(false);
  expect(status).toMatchObject({ sync: "OutOfSync", revision: { oid: good }, remote: { oid: bad } });
  expect(status.message).toContain("pod default/web did not become ready within 60 s (app: CrashLoopBackOff)");
  expect(status.history.map(({ outcome }) => outcome)).toEqual(["RolledBack", "Healthy"]);
  expect((await refusal(source.sync({ insist: false }))).message).toContain("is not tried again");
  pods[0] = podFact("web");
  origin.write("web.yaml", pod("web", { image: "web:3" })).commit("Better");
  await source.sync();
  expect(imageOf(state(), "web")).toBe("web:3");
  expect(source.status(false)).toMatchObject({ sync: "Synced", health: "Healthy" });
});

test("back by hand, and forward with the next commit", async () => {
  const origin = lab.repository();
  const first = origin.write("web.yaml", pod("web", { image: "web:1" })).commit("One");
  const { source, state, pods } = await lab.source({ url: origin.path });
  pods.push(podFact("web"));
  await source.sync();
  expect((await refusal(source.rollback(undefined))).message).toContain("no earlier revision");
  origin.write("web.yaml", pod("web", { image: "web:2" })).commit("Two");
  await source.sync();
  expect((await source.rollback(undefined)).oid).toBe(first);
  expect(imageOf(state(), "web")).toBe("web:1");
  await source.sync();
  expect(imageOf(state(), "web")).toBe("web:1");
  expect(await source.sync({ insist: true })).toBe(true);
  expect(imageOf(state(), "web")).toBe("web:2");
  await source.rollback(first.slice(0, 8));
  origin.write("web.yaml", pod("web", { image: "web:3" })).commit("Three");
  await source.sync();
  expect(imageOf(state(), "web")).toBe("web:3");
});

test("waves: higher ones wait until lower ones are ready, and what goes goes last", async () => {
  const origin = lab.repository();
  const wave = (number: string) => ({ annotations: { "gantry.dev/wave": number } });
  origin
    .write("db.yaml", pod("db", wave("-1")))
    .write("web.yaml", pod("web"))
    .write("old.yaml", pod("old", wave("9")))
    .commit();
  const { source, state, pods } = await lab.source({ url: origin.path });
  pods.push(podFact("db", { readySince: undefined, health: "Progressing" }));
  await source.sync();
  expect(identities(state())).toEqual(["Pod default/db"]);
  pods[0] = podFact("db");
  pods.push(podFact("web", { readySince: undefined, health: "Progressing" }));
  source.podsChanged();
  await source.sync();
  expect(identities(state())).toEqual(["Pod default/db", "Pod default/web"]);
  pods[1] = podFact("web");
  source.podsChanged();
  await source.sync();
  expect(identities(state())).toEqual(["Pod default/db", "Pod default/old", "Pod default/web"]);
  expect(source.status(false).history[0]?.outcome).toBe("Healthy");
  pods[0] = podFact("db", { readySince: undefined, version: "2" });
  origin
    .write("db.yaml", pod("db", { ...wave("-1"), image: "db:2" }))
    .remove("old.yaml")
    .commit();
  await source.sync();
  expect(imageOf(state(), "db")).toBe("db:2");
  expect(identities(state())).toContain("Pod default/old");
  pods[0] = podFact("db", { version: "2" });
  source.podsChanged();
  await source.sync();
  expect(identities(state())).toEqual(["Pod default/db", "Pod default/web"]);
});

test("suspended: nothing new comes; diff tells what would, without values of Secrets", async () => {
  const origin = lab.repository();
  const secret = (value: string) =>
    `apiVersion: v1\nkind: Secret\nmetadata:\n  name: key\n  annotations:\n` +
    `    kubectl.kubernetes.io/last-applied-configuration: '{"stringData":{"token":"${value}"}}'\n` +
    `stringData:\n  token: ${value}\n`;
  origin
    .write("web.yaml", pod("web", { image: "web:1" }))
    .write("key.yaml", secret("hush1"))
    .commit();
  const { source, state } = await lab.source({ url: origin.path });
  await source.sync();
  source.suspend(true);
  origin
    .write("web.yaml", pod("web", { image: "web:2" }))
    .write("key.yaml", secret("hush2"))
    .write("new.yaml", pod("new"))
    .commit();
  expect((await refusal(source.sync())).code).toBe("conflict");
  expect(source.status(false).sync).toBe("Suspended");
  const { differences } = await source.diff();
  expect(differences.map(({ type, object }) => `${type} ${object}`)).toEqual([
    "added Pod default/new",
    "changed Pod default/web",
    "changed Secret default/key",
  ]);
  expect(JSON.stringify(differences)).toContain("web:2");
  expect(JSON.stringify(differences)).not.toMatch(/hush|aHVza/);
  expect(imageOf(state(), "web")).toBe("web:1");
  source.suspend(false);
  expect(source.status(false).sync).toBe("OutOfSync");
  await source.sync();
  expect(imageOf(state(), "web")).toBe("web:2");
});

test("suspended while a revision is on its way: it does not come, and is not forgotten", async () => {
  const origin = lab.repository();
  origin.write("web.yaml", pod("web", { image: "web:1" })).commit();
  const wish = { onCheck: () => {}, onPods: () => {} };
  const { source, state } = await lab.source(
    { url: origin.path },
    {
      check: () => {
        wish.onCheck();
        return [];
      },
      pods: () => {
        wish.onPods();
        return [];
      },
    },
  );
  await source.sync();
  wish.onCheck = () => source.suspend(true);
  origin.write("web.yaml", pod("web", { image: "web:2" })).commit();
  expect((await refusal(source.sync())).message).toContain("is suspended");
  expect(imageOf(state(), "web")).toBe("web:1");
  expect(source.status(false)).toMatchObject({ sync: "Suspended", message: undefined });
  wish.onCheck = () => {};
  source.suspend(false);
  // So late that it comes into force all the same.
  wish.onPods = () => {
    wish.onPods = () => {};
    source.suspend(true);
  };
  await source.sync();
  expect(imageOf(state(), "web")).toBe("web:2");
  expect(source.status(false).sync).toBe("Suspended");
});

test("what clashes with other sources is refused", async () => {
  const origin = lab.repository();
  origin.write("web.yaml", pod("web")).commit();
  const { source } = await lab.source(
    { url: origin.path },
    {
      check: (_name, objects) =>
        objects.map(({ place }) => ({
          severity: "error" as const,
          place,
          field: "metadata.name",
          message: "is defined at a.yaml as well",
          hint: undefined,
          object: "Pod default/web",
        })),
    },
  );
  expect((await refusal(source.sync())).message).toContain("is defined at a.yaml as well");
});

test("a pod that was taken away by hand is reported once it is back", async () => {
  const origin = lab.repository();
  origin.write("web.yaml", pod("web")).commit();
  const { source } = await lab.source({ url: origin.path });
  await source.sync();
  const seen = (sandbox: string | undefined, version = "1") =>
    source.podSeen({ key: "default/web", version, sandbox, ended: [] });
  seen("a");
  seen(undefined);
  seen("b", "2"); // the repository asked for another version
  expect(source.status(false).drift).toBeUndefined();
  seen("c", "2");
  expect(source.status(false).drift?.message).toContain("pod default/web was taken away by hand");
  expect(lab.events.map(({ reason }) => reason)).toContain("DriftCorrected");
});

test("a container that was killed by hand is reported once", async () => {
  const origin = lab.repository();
  origin.write("web.yaml", pod("web")).commit();
  const { source } = await lab.source({ url: origin.path });
  await source.sync();
  const seen = (...runs: readonly string[]) =>
    source.podSeen({
      ...{ key: "default/web", version: "1", sandbox: "a" },
      ended: runs.map((containerId) => ({ container: "app", containerId, how: "was removed by hand" })),
    });
  seen("before the start");
  expect(source.status(false).drift).toBeUndefined();
  seen("a/app/1");
  seen("a/app/1");
  expect(source.status(false).drift?.message).toBe(
    "container app of pod default/web was removed by hand; it is started again",
  );
  expect(lab.events.filter(({ reason }) => reason === "DriftCorrected")).toHaveLength(1);
});
