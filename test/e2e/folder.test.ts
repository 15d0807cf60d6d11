import {
  closeSync,
  mkdirSync,
  openSync,
  renameSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { pidsOf, podText } from "./harness/sketch.ts";
import { eventually, type TestHost, testHost } from "./harness.ts";

/** Everything that editors, scripts and Kubernetes' own tools do to files in a folder. */
let host: TestHost;
const path = (...names: readonly string[]): string => join(host.manifests, ...names);
beforeAll(async () => {
  host = testHost();
  await host.startDaemon();
});
afterAll(() => host.dispose());

const version = (name: string, word: string): string => podText(name, { env: [{ name: "WORD", value: word }] });

/** Waits until the pod runs with this word. */
async function hasWord(name: string, word: string): Promise<void> {
  const probe = async (): Promise<boolean> =>
    (await host.gantry("exec", name, "--", "sh", "-c", "echo $WORD")).stdout === `${word}\n`;
  await eventually(probe, { what: `${name} with ${word}`, explain: () => host.explain() });
}

describe("saving as editors do", () => {
  test("vim: a swap file, a backup, a probe called 4913, then the new file", async () => {
    writeFileSync(path("vim.yaml"), version("vim", "one"));
    await hasWord("vim", "one");
    writeFileSync(path(".vim.yaml.swp"), "b0VIM 9.0");
    writeFileSync(path("4913"), "");
    unlinkSync(path("4913"));
    renameSync(path("vim.yaml"), path("vim.yaml~"));
    writeFileSync(path("vim.yaml"), version("vim", "two"));
    await hasWord("vim", "two");
    unlinkSync(path("vim.yaml~"));
    unlinkSync(path(".vim.yaml.swp"));
    unlinkSync(path("vim.yaml"));
    await host.waitGone("vim");
  });

  test("atomically: a hidden file renamed over the old one; and in place, truncated first", async () => {
    host.write("swap.yaml", version("swap", "one"));
    await hasWord("swap", "one");
    const [before] = pidsOf(host.root, "swap");
    host.write("swap.yaml", version("swap", "two"));
    await hasWord("swap", "two");
    expect(pidsOf(host.root, "swap")).not.toContain(before);
    host.writeInPlace("swap.yaml", version("swap", "three"));
    await hasWord("swap", "three");
    host.remove("swap.yaml");
    await host.waitGone("swap");
  });

  test("a file that is held open is acted on once it is closed", async () => {
    const text = version("slow", "whole");
    const first = text.lastIndexOf('"containers"');
    const fd = openSync(path("slow.yaml"), "w");
    writeSync(fd, text.slice(0, first));
    // Something that is dropped later, and done, shows that the folder has been looked at.
    host.write("later.yaml", podText("later"));
    await host.waitReady("later");
    expect((await host.gantry("status")).stdout).not.toContain("slow");
    writeSync(fd, text.slice(first));
    closeSync(fd);
    await hasWord("slow", "whole");
    host.remove("slow.yaml");
    host.remove("later.yaml");
    await host.waitGone("slow");
    await host.waitGone("later");
  });
});

test("what is no manifest by its name is not run", async () => {
  const names = ["a.yaml.bak", "a.yaml~", ".a.yaml", "#a.yaml#", "a.yaml.swp", "a.txt", "a.yaml.orig", "yaml", "4913"];
  for (const [index, name] of names.entries()) writeFileSync(path(name), podText(`not-${index}`));
  mkdirSync(path(".git"));
  writeFileSync(path(".git/x.yaml"), podText("not-git"));
  host.write("marker.yaml", podText("marker"));
  await host.waitReady("marker");
  expect((await host.pods()).map((pod) => pod.metadata.name)).toEqual(["marker"]);
  expect((await host.gantry("status", "--exit-code")).code).toBe(0);
  for (const name of names) rmSync(path(name));
  rmSync(path(".git"), { recursive: true });
  host.remove("marker.yaml");
  await host.waitGone("marker");
});

test("subfolders, at any depth, made and removed while it runs", async () => {
  mkdirSync(path("deep/er/est"), { recursive: true });
  writeFileSync(path("deep/er/est/pod.yml"), podText("deep"));
  await host.waitReady("deep");
  rmSync(path("deep"), { recursive: true });
  await host.waitGone("deep");
});

test("a moved file is the same pod", async () => {
  host.write("here.yaml", podText("mover"));
  await host.waitReady("mover");
  // The app's own program takes a moment from its start.
  const before = await eventually(() => {
    const pids = pidsOf(host.root, "mover");
    return pids.length > 0 && pids;
  });
  mkdirSync(path("there"));
  renameSync(path("here.yaml"), path("there/renamed.yaml"));
  await eventually(async () => (await host.gantry("status", "-o", "wide")).stdout.includes("there/renamed.yaml"));
  expect(pidsOf(host.root, "mover")).toEqual(before);
  rmSync(path("there"), { recursive: true });
  await host.waitGone("mover");
});

test("a folder as Kubernetes mounts a ConfigMap: ..data swapped at once", async () => {
  const store = (name: string, word: string): void => {
    mkdirSync(path(name));
    writeFileSync(path(name, "pod.yaml"), version("mounted", word));
  };
  store("..one", "one");
  symlinkSync("..one", path("..data"));
  symlinkSync("..data/pod.yaml", path("pod.yaml"));
  await hasWord("mounted", "one");
  store("..two", "two");
  symlinkSync("..two", path("..data_tmp"));
  renameSync(path("..data_tmp"), path("..data"));
  rmSync(path("..one"), { recursive: true });
  await hasWord("mounted", "two");
  unlinkSync(path("pod.yaml"));
  unlinkSync(path("..data"));
  rmSync(path("..two"), { recursive: true });
  await host.waitGone("mounted");
});

test("several documents, a List, JSON; only what changes is touched", async () => {
  const list = (words: readonly [string, string]): string =>
    JSON.stringify({
      apiVersion: "v1",
      kind: "List",
      items: words.map((word, index) => JSON.parse(version(`list-${index}`, word))),
    });
  host.write("many.yaml", `# two pods\n${version("doc-a", "a")}---\n\n---\n${version("doc-b", "b")}...\n`);
  host.write("list.json", list(["one", "two"]));
  for (const [name, word] of [
    ["doc-a", "a"],
    ["doc-b", "b"],
    ["list-0", "one"],
    ["list-1", "two"],
  ] as const)
    await hasWord(name, word);
  const before = pidsOf(host.root, "list-0");
  host.write("list.json", list(["one", "changed"]));
  await hasWord("list-1", "changed");
  expect(pidsOf(host.root, "list-0")).toEqual(before);
  host.write("many.yaml", version("doc-b", "b"));
  await host.waitGone("doc-a");
  host.remove("many.yaml");
  host.remove("list.json");
  for (const name of ["doc-b", "list-0", "list-1"]) await host.waitGone(name);
});

test("removed and added again at once: it runs", async () => {
  host.write("again.yaml", version("again", "one"));
  await hasWord("again", "one");
  host.remove("again.yaml");
  host.write("again.yaml", version("again", "two"));
  await hasWord("again", "two");
  host.remove("again.yaml");
  await host.waitGone("again");
});

test("labels alone restart nothing", async () => {
  const labelled = (value: string): string =>
    podText("label").replace('"name": "label"', `"name": "label", "labels": {"x": "${value}"}`);
  host.write("label.yaml", labelled("one"));
  await host.waitReady("label");
  const before = pidsOf(host.root, "label");
  host.write("label.yaml", labelled("two"));
  await eventually(async () => (await host.gantry("status", "label", "-o", "json")).stdout.includes('"x": "two"'));
  expect(pidsOf(host.root, "label")).toEqual(before);
  host.remove("label.yaml");
  await host.waitGone("label");
});

test("a namespace is part of the name", async () => {
  host.write(
    "ns.yaml",
    `${podText("twice")}---\n${podText("twice").replace('"name": "twice"', '"name": "twice", "namespace": "other"')}`,
  );
  await host.waitReady("twice");
  await eventually(async () => (await host.gantry("status", "-n", "other", "--exit-code")).code === 0);
  expect((await host.gantry("status")).stdout).toMatch(/default\s+twice[\s\S]*other\s+twice/);
  host.remove("ns.yaml");
  await host.waitGone("twice");
});
