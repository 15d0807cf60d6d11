import { chmod, mkdir, mkdtemp, readFile, rm, stat, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { parse } from "yaml";
import { remoteEndpoint, remoteNamespace } from "../../src/cli/kubeconfig/endpoint.ts";
import { type Entry, kubeconfigOf, mergeInto, writeEntry } from "../../src/cli/kubeconfig/merge.ts";

const ENTRY: Entry = {
  cluster: "gantry-web1",
  context: "gantry-web1",
  user: "admin@gantry-web1",
  server: "https://127.0.0.1:6443",
  authority: "AUTHORITY",
  secret: { kind: "token", token: "secret" },
};
const OTHERS = `# of many years
apiVersion: v1
kind: Config
preferences: { colors: true }
clusters:
  - name: prod # do not touch
    cluster: { server: "https://prod:6443", extensions: [{ name: x, extension: { a: 1 } }] }
contexts:
  - name: prod
    context: { cluster: prod, user: me, namespace: shop }
users:
  - name: me
    user:
      exec: { apiVersion: client.authentication.k8s.io/v1, command: login, args: [a, b] }
current-context: prod
`;

let home: string;
let file: string;
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), "gantry-kubeconfig-"));
  file = join(home, "config");
});
afterEach(() => rm(home, { recursive: true }));

test("everything that was there stays, with its comments; the new context is the current one", () => {
  const merged = mergeInto(OTHERS, file, ENTRY);
  const [before, after] = [parse(OTHERS), parse(merged)];
  for (const list of ["clusters", "contexts", "users"]) expect(after[list][0]).toEqual(before[list][0]);
  expect([after.clusters, after.contexts, after.users].map((list) => list.length)).toEqual([2, 2, 2]);
  expect(after).toMatchObject({ preferences: { colors: true }, "current-context": "gantry-web1" });
  expect(merged).toMatch(/^# of many years\n/);
  expect(merged).toContain("- name: prod # do not touch");
});

test("what it says about the same Gantry is replaced, once and for all", () => {
  const twice = mergeInto(mergeInto(OTHERS, file, ENTRY), file, { ...ENTRY, secret: { kind: "token", token: "new" } });
  const { users, clusters, contexts } = parse(twice);
  expect([users, clusters, contexts].map((list) => list.length)).toEqual([2, 2, 2]);
  expect(users[1]).toEqual({ name: ENTRY.user, user: { token: "new" } });
});

test.each([
  "",
  "---\n",
  "{}",
  "null\n",
  "clusters: []\n",
  "apiVersion: v1\nkind: Config\nusers: null\n",
  "# only a comment\n",
])("into %j", (text) => {
  expect(parse(mergeInto(text, file, ENTRY))).toMatchObject({
    users: parse(kubeconfigOf(ENTRY)).users,
    "current-context": ENTRY.context,
  });
});

test.each([
  ["clusters: [\n  {name: a\n", /config:\d+:\d+: not YAML/],
  ["a: 1\na: 2\n", /config:2:1: not YAML: .*unique/],
  ["users: 5\n", /not a kubeconfig: users/],
  ["- a list\n", /not a kubeconfig/],
  ["users:\n  - user: {}\n", /not a kubeconfig: users.0.name/],
  ["just words\n", /not a kubeconfig/],
])("a broken file is refused and stays as it is: %j", async (text, message) => {
  await writeFile(file, text, { mode: 0o640 });
  await expect(writeEntry(file, ENTRY)).rejects.toMatchObject({
    code: "usage",
    message: expect.stringMatching(message),
  });
  expect(await readFile(file, "utf8")).toBe(text);
});

test("the file is its owner's alone, whatever it was; a link is followed; its directory is made", async () => {
  const deep = join(home, "a/b/config");
  expect(await writeEntry(deep, ENTRY)).toBeUndefined();
  expect((await stat(deep)).mode & 0o777).toBe(0o600);
  expect((await stat(join(home, "a/b"))).mode & 0o777).toBe(0o700);
  await writeFile(file, OTHERS, { mode: 0o644 });
  const alias = join(home, "alias");
  await symlink(file, alias);
  expect(await writeEntry(alias, ENTRY)).toBe("prod");
  expect((await stat(file)).mode & 0o777).toBe(0o600);
  expect(parse(await readFile(file, "utf8"))["current-context"]).toBe(ENTRY.context);
});

test("a place that can't be written says so, and leaves nothing behind", async () => {
  await mkdir(file);
  await expect(writeEntry(file, ENTRY)).rejects.toMatchObject({ message: expect.stringContaining(file) });
  await writeFile(join(home, "plain"), "");
  await chmod(join(home, "plain"), 0o400);
  await expect(writeEntry(join(home, "plain", "config"), ENTRY)).rejects.toMatchObject({ code: "internal" });
});

test("the context's namespace counts where none is given; one that can't be one is refused", async () => {
  await writeFile(file, mergeInto(OTHERS, file, ENTRY));
  const wish = (context: string | undefined) => ({ host: undefined, kubeconfig: file, context });
  expect(await remoteNamespace(wish("prod"), {})).toBe("shop");
  expect(await remoteNamespace(wish(undefined), {})).toBeUndefined();
  expect(
    await remoteNamespace({ host: "unix:///run/x.sock", kubeconfig: undefined, context: undefined }, {}),
  ).toBeUndefined();
  await writeFile(file, OTHERS.replace("namespace: shop", "namespace: 'Not One'"));
  await expect(remoteNamespace(wish("prod"), {})).rejects.toMatchObject({ code: "usage", message: /Not One/ });
  await expect(remoteEndpoint(wish("prod"), {})).rejects.toMatchObject({ code: "unsupported" });
});
