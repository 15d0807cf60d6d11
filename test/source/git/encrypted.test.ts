import { execFileSync } from "node:child_process";
import { chmodSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { encryptAge, newIdentity, parseBytes, recipientsOf } from "../../../src/secrets/index.ts";
import { identities, Lab, pod, refusal, WorkTree } from "./lab.ts";

let lab: Lab;
let keyFile: string;
let identity: string;
beforeEach(async () => {
  lab = new Lab();
  keyFile = join(lab.path, "age.key");
  ({ identity } = await newIdentity());
  writeFileSync(keyFile, `${identity}\n`, { mode: 0o600 });
});
afterEach(() => lab.close());

const secret = (value: string, name = "db"): string =>
  `apiVersion: v1\nkind: Secret\nmetadata:\n  name: ${name}\nstringData:\n  password: ${value}\n`;
const sealed = async (text: string): Promise<Buffer> =>
  Buffer.from(await encryptAge(Buffer.from(text), await recipientsOf([identity])));
const ports = () => ({ parse: (file: string, bytes: Uint8Array) => parseBytes(file, bytes, [keyFile]) });
const passwordIn = ({ objects }: { readonly objects: readonly { readonly object: unknown }[] }): unknown =>
  JSON.stringify(objects.find(({ object }) => JSON.stringify(object).includes('"Secret"'))?.object);

test("an encrypted Secret comes into force, and is nowhere in clear: not on the disk, in the status, a diff or an event", async () => {
  const origin = lab.repository();
  origin
    .write("web.yaml", pod("web"))
    .write("db.yaml.age", await sealed(secret("pa55w0rd-one")))
    .commit();
  const { source, state } = await lab.source({ url: origin.path }, ports());
  await source.sync();
  expect(identities(state())).toEqual(["Pod default/web", "Secret default/db"]);
  expect(passwordIn(state())).toContain(Buffer.from("pa55w0rd-one").toString("base64"));

  origin.write("db.yaml.age", await sealed(secret("pa55w0rd-two"))).commit();
  const diff = await source.diff();
  expect(diff.differences).toMatchObject([
    { type: "changed", object: "Secret default/db", fields: [{ before: "(hidden)", after: "(hidden)" }] },
  ]);
  await source.sync();
  expect(passwordIn(state())).toContain(Buffer.from("pa55w0rd-two").toString("base64"));

  const copy = join(lab.path, "copies", "pods");
  const kept = execFileSync("git", ["--git-dir", copy, "cat-file", "--batch-all-objects", "--batch"]).toString();
  const files = execFileSync("find", [copy, "-type", "f", "-exec", "cat", "{}", "+"]).toString();
  const told = JSON.stringify([diff, source.status(false), lab.events, lab.store.list(), kept, files]);
  for (const word of ["pa55w0rd-one", "pa55w0rd-two"]) {
    expect(told).not.toContain(word);
    expect(told).not.toContain(Buffer.from(word).toString("base64"));
  }
});

test("what can't be decrypted refuses the revision; the key lets it in without a new commit", async () => {
  const origin = lab.repository();
  origin.write("web.yaml", pod("web")).commit();
  const { source, state } = await lab.source({ url: origin.path }, ports());
  await source.sync();
  origin
    .write("db.yaml.age", await sealed(secret("x")))
    .write("other.yaml", pod("other"))
    .commit();
  renameSync(keyFile, `${keyFile}.away`);
  expect(await refusal(source.sync())).toMatchObject({
    code: "invalid-manifest",
    message: expect.stringContaining("git:pods/db.yaml.age"),
  });
  expect(identities(state())).toEqual(["Pod default/web"]);
  renameSync(`${keyFile}.away`, keyFile);
  await source.sync();
  expect(identities(state())).toEqual(["Pod default/other", "Pod default/web", "Secret default/db"]);
});

test("after a start without the key nothing counts as gone, and with it all is there, though the remote is not", async () => {
  const origin = lab.repository();
  origin
    .write("web.yaml", pod("web"))
    .write("db.yaml.age", await sealed(secret("x")))
    .commit();
  const first = await lab.source({ url: origin.path }, ports());
  await first.source.sync();
  await first.source.stop();

  renameSync(keyFile, `${keyFile}.away`);
  const { source, state } = await lab.source({ url: origin.path }, ports());
  expect(state().held).toBe("db.yaml.age can't be decrypted; nothing is removed until it can be");
  expect(identities(state())).toEqual(["Pod default/web"]);
  await source.sync();
  expect(state().held).toContain("can't be decrypted");

  renameSync(`${keyFile}.away`, keyFile);
  renameSync(origin.path, `${origin.path}.away`);
  expect(await refusal(source.sync())).toMatchObject({ code: "source-failed" });
  expect(state()).toMatchObject({ held: undefined });
  expect(identities(state())).toEqual(["Pod default/web", "Secret default/db"]);
});

test("file by file: a closed file keeps what it had, and is opened once it can be", async () => {
  const origin = lab.repository();
  origin.write("db.yaml.age", await sealed(secret("one"))).commit();
  const { source, state } = await lab.source({ url: origin.path, policy: "per-file" }, ports());
  await source.sync();
  chmodSync(keyFile, 0o644);
  origin
    .write("db.yaml.age", await sealed(secret("two")))
    .write("web.yaml", pod("web"))
    .commit();
  await source.sync();
  expect(passwordIn(state())).toContain(Buffer.from("one").toString("base64"));
  expect(identities(state())).toContain("Pod default/web");
  chmodSync(keyFile, 0o600);
  await source.sync();
  expect(passwordIn(state())).toContain(Buffer.from("two").toString("base64"));
  expect(state().problems).toEqual([]);
});

test("a repository of somebody else's: only Secrets may be encrypted, and what is in them is not quoted", async () => {
  const origin = new WorkTree(join(lab.path, "theirs"));
  origin.write("a.yaml.age", await sealed("kind: Pod\nspec: {secretWord: pa55w0rd}\n")).commit();
  const { source } = await lab.source({ url: origin.path }, ports());
  const { message } = await refusal(source.sync());
  expect(message).toContain("git:pods/a.yaml.age:");
  expect(message).not.toContain("pa55w0rd");
});
