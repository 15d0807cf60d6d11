import { copyFileSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { createImageStore, type Image, type ImageStore } from "../../src/image/index.ts";
import { systemClock } from "../../src/system/clock.ts";
import { isGantryError } from "../../src/system/errors.ts";
import { exec } from "../../src/system/exec.ts";
import { silentLogger } from "../../src/system/log.ts";
import { layout } from "../../src/system/paths.ts";
import { addRule, type NewRule, removeRule } from "../../src/trust/edit.ts";
import { createTrust, type TrustOptions } from "../../src/trust/index.ts";
import {
  type GpgKey,
  insecureRegistry,
  type Lab,
  makeGpgKey,
  makeSigstoreKey,
  removeGpgKey,
  type SigstoreKeyPair,
  signSigstore,
  startLab,
} from "../support/signing-lab.ts";

/** Real signatures in a real registry, and what the store makes of them. */
let lab: Lab;
let [alice, mallory]: GpgKey[] = [];
let [cosign, other]: SigstoreKeyPair[] = [];
const digests: Record<string, string> = {};
const signal = new AbortController().signal;

beforeAll(async () => {
  lab = await startLab();
  alice = await makeGpgKey(lab.dir, "Alice <alice@example.com>");
  mallory = await makeGpgKey(lab.dir, "Mallory <mallory@example.com>");
  cosign = makeSigstoreKey(lab.dir, "release.pub");
  other = makeSigstoreKey(lab.dir, "other.pub");
  for (const [name, signBy] of [
    ["signed:v1", alice],
    ["wrong:v1", mallory],
    ["unsigned:v1", undefined],
  ] as const)
    digests[name] = await lab.push(`gpg/${name}`, signBy === undefined ? {} : { signBy });
  await lab.push("gpg/retagged:v1", { signBy: alice, identity: `${lab.host}/gpg/retagged:v0` });
  for (const name of ["signed", "wrong", "unsigned", "swapped"])
    digests[name] = await lab.push(`sig/${name}:v1`, { word: name });
  await signSigstore(lab, "sig/signed", digests["signed"] ?? "", cosign, `${lab.host}/sig/signed`);
  await signSigstore(lab, "sig/wrong", digests["wrong"] ?? "", other, `${lab.host}/sig/wrong`);
  // A good signature of another image, put where that of this one is looked for.
  await exec("skopeo", [
    "--insecure-policy",
    "copy",
    "--quiet",
    "--src-tls-verify=false",
    "--dest-tls-verify=false",
    `docker://${lab.host}/sig/signed:${(digests["signed"] ?? "").replace(":", "-")}.sig`,
    `docker://${lab.host}/sig/swapped:${(digests["swapped"] ?? "").replace(":", "-")}.sig`,
  ]);
});
afterAll(async () => {
  for (const key of [alice, mallory]) if (key !== undefined) await removeGpgKey(key);
  await lab.dispose();
});

let root: string;
let etc: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "gantry-trust-test-"));
  ({ etc } = layout(root));
  insecureRegistry(etc, lab.host);
});
afterEach(() => rmSync(root, { recursive: true }));

function open(options: Partial<TrustOptions> = {}): ImageStore {
  const paths = layout(root);
  const trust = createTrust({ paths, imports: "accept", log: silentLogger(), ...options });
  return createImageStore({ paths, log: silentLogger(), clock: systemClock, trust, format: "tree" });
}

async function add(prefix: string, rule: NewRule, more: { replace?: boolean; identity?: "exact" | "repository" } = {}) {
  return await addRule({ etc, scope: `${lab.host}${prefix}`, rule, replace: false, ...more });
}

const gpg = (...keys: (GpgKey | undefined)[]): NewRule => ({
  type: "gpg",
  keyFiles: keys.map((key) => key?.file ?? ""),
  lookaside: lab.lookaside,
});
const sigstore = (...keys: (SigstoreKeyPair | undefined)[]): NewRule => ({
  type: "sigstore",
  keyFiles: keys.map((key) => key?.file ?? ""),
});

const pull = (store: ImageStore, name: string): Promise<Image> => store.pull(`${lab.host}/${name}`, { signal });

async function refusal(work: Promise<unknown>): Promise<string> {
  const error = await work.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  if (!isGantryError(error)) throw new Error(`not refused: ${String(error)}`);
  return `${error.code}: ${error.message} | ${error.hint}`;
}

const signersOf = (image: Image): readonly string[] => image.origins.flatMap(({ signers }) => signers);

describe("GPG", () => {
  test("signed, unsigned, by the wrong key, for another tag", async () => {
    await add("", gpg(alice));
    const store = open();
    expect(signersOf(await pull(store, "gpg/signed:v1"))).toEqual([
      expect.stringMatching(/^Alice <alice@example.com> \(GPG [0-9A-F]{16}\)$/),
    ]);
    const unsigned = await refusal(pull(store, "gpg/unsigned:v1"));
    expect(unsigned).toMatch(
      /^image-untrusted: image .*gpg\/unsigned:v1 is not trusted: A signature was required, but no signature exists/,
    );
    expect(unsigned).toContain(
      `(the rule for ${lab.host} in ${join(etc, "policy.json")}, which asks for a signature by Alice`,
    );
    expect(unsigned).toContain(`gantry trust add --prefix ${lab.host} --replace`);
    expect(await refusal(pull(store, "gpg/wrong:v1"))).toMatch(/^image-untrusted: .*gpg\/wrong:v1 is not trusted/);
    expect(await refusal(pull(store, "gpg/retagged:v1"))).toMatch(
      /Signature for identity .*retagged:v0 is not accepted/,
    );
    expect((await store.list()).flatMap(({ names }) => names)).toEqual([`${lab.host}/gpg/signed:v1`]);
    // By its digest, any tag of the repository will do.
    await pull(store, `gpg/signed@${digests["signed:v1"]}`);
  });

  test("two keys: who of them signed is known", async () => {
    await add("", gpg(mallory, alice));
    const store = open();
    expect(signersOf(await pull(store, "gpg/signed:v1")).join()).toMatch(/^Alice/);
    expect(signersOf(await pull(store, "gpg/wrong:v1")).join()).toMatch(/^Mallory/);
  });
});

describe("sigstore", () => {
  test("signed, unsigned, by the wrong key, with the signature of another image", async () => {
    await add("/sig", sigstore(cosign));
    const store = open();
    expect(signersOf(await pull(store, "sig/signed:v1"))).toEqual([
      expect.stringMatching(/release\.pub \(sigstore [0-9a-f]{16}\)$/),
    ]);
    expect(await refusal(pull(store, "sig/unsigned:v1"))).toMatch(
      /sig\/unsigned:v1 is not trusted: it has no sigstore signature/,
    );
    expect(await refusal(pull(store, "sig/wrong:v1"))).toMatch(/signed by another key/);
    expect(await refusal(pull(store, "sig/swapped:v1"))).toMatch(/signed is another image/);
    expect(await store.list()).toHaveLength(1);
  });

  test("the exact identity, when it is asked for; any of two keys", async () => {
    await add("/sig", sigstore(cosign, other), { identity: "exact" });
    const store = open();
    expect(await refusal(pull(store, "sig/signed:v1"))).toMatch(/signed for the identity/);
    await add("/sig", sigstore(cosign, other), { replace: true });
    await pull(store, "sig/signed:v1");
    await pull(store, "sig/wrong:v1");
  });
});

describe("a changed policy", () => {
  const name = (): string => `${lab.host}/gpg/signed:v1`;

  test("is asked again about what is held: another key, a rule that rejects, the old key again", async () => {
    await add("", gpg(alice));
    const store = open();
    const image = await pull(store, "gpg/signed:v1");
    expect(await store.trusted(name(), image)).toBeUndefined();

    await add("", gpg(mallory), { replace: true });
    expect(await store.trusted(name(), image)).toBeDefined();
    const [origin] = image.origins;
    const again = { signal, ...(origin && { digest: origin.digest }) };
    expect(await refusal(store.pull(name(), again))).toMatch(/image-untrusted/);

    await add("/gpg", { type: "reject" });
    expect(await refusal(store.trusted(name(), image))).toMatch(
      /image-untrusted: .*its rule rejects every image \(the rule for .*\/gpg in/,
    );
    await removeRule(etc, `${lab.host}/gpg`);

    await add("", gpg(alice, mallory), { replace: true });
    expect(await store.trusted(name(), image)).toBeDefined();
    const checked = await store.pull(name(), again);
    expect(await store.trusted(name(), checked)).toBeUndefined();
    expect(signersOf(checked).join()).toMatch(/^Alice/);
  });

  test("that changes nothing for an image asks nothing, and needs no registry", async () => {
    await add("", gpg(alice));
    const store = open();
    const image = await pull(store, "gpg/signed:v1");
    await addRule({ etc, scope: "elsewhere.example.com", rule: { type: "reject" }, replace: false });
    expect(await store.trusted(name(), image)).toBeUndefined();
    await add("", { type: "accept" }, { replace: true });
    expect(await store.trusted(name(), image)).toBeUndefined();
  });

  test("is checked for the held image, though its tag has moved on", async () => {
    const repository = "gpg/moving:v1";
    await lab.push(repository, { word: "first", signBy: alice });
    const store = open();
    const first = await pull(store, repository);
    await lab.push(repository, { word: "second" });
    await add("", gpg(alice));
    expect(await store.trusted(`${lab.host}/${repository}`, first)).toBeDefined();
    const checked = await store.pull(`${lab.host}/${repository}`, { signal, digest: first.origins[0]?.digest ?? "" });
    expect(checked.digest).toBe(first.digest);
    expect(await refusal(pull(store, repository))).toMatch(/no signature exists/);
  });

  test("a key that is replaced under the same path counts as another rule", async () => {
    const key = join(root, "key.asc");
    copyFileSync(alice?.file ?? "", key);
    const policy = { default: [{ type: "signedBy", keyType: "GPGKeys", keyPath: key }] };
    writeFileSync(join(etc, "policy.json"), JSON.stringify(policy));
    await add("/other", gpg(alice)); // for the place of the signatures
    writeFileSync(join(etc, "registries.d/lab.yaml"), `docker: {"${lab.host}": {lookaside: "${lab.lookaside}"}}\n`);
    const store = open();
    const image = await pull(store, "gpg/signed:v1");
    copyFileSync(mallory?.file ?? "", `${key}.new`);
    await exec("mv", [`${key}.new`, key]);
    expect(await store.trusted(name(), image)).toBeDefined();
    rmSync(key);
    expect(await refusal(pull(store, "gpg/unsigned:v1"))).toMatch(/invalid-config: .*key .*key\.asc cannot be read/);
  });

  test("that is broken lets nothing new in, and what was let in go on", async () => {
    await add("", gpg(alice));
    const store = open();
    const image = await pull(store, "gpg/signed:v1");
    writeFileSync(join(etc, "policy.json"), '{"default": [}');
    expect(await store.trusted(name(), image)).toBeUndefined();
    expect(await open().trusted(name(), image)).toBeUndefined();
    expect(await refusal(pull(store, "gpg/unsigned:v1"))).toMatch(/^invalid-config: .*policy\.json:1:\d+/);
  });
});

test("deny by default is one setting; imported images have one of their own", async () => {
  const store = open({ default: "reject" });
  expect(await refusal(pull(store, "gpg/unsigned:v1"))).toMatch(
    /its rule rejects every image \(the default in the setting trust\.default\) \| If you trust it: gantry trust add --prefix 127/,
  );
  await add("/gpg/unsigned", { type: "accept" });
  await pull(store, "gpg/unsigned:v1");
  expect(await refusal(pull(store, "gpg/signed:v1"))).toMatch(/image-untrusted/);

  const tree = join(root, "tree");
  await exec("mkdir", [tree]);
  writeFileSync(join(tree, "file"), "");
  const imported = await store.import(tree, "localhost/mine:1", signal);
  expect(await store.trusted("localhost/mine:1", imported)).toBeUndefined();
  const strict = open({ default: "reject", imports: "policy" });
  expect(await refusal(strict.trusted("localhost/mine:1", imported))).toMatch(/its rule rejects|trust\.imports/);
  await addRule({ etc, scope: "localhost/mine", rule: { type: "accept" }, replace: false });
  expect(await strict.trusted("localhost/mine:1", imported)).toBeUndefined();
  await addRule({ etc, scope: "localhost/mine", rule: { type: "reject" }, replace: true });
  expect(await refusal(store.trusted("localhost/mine:1", imported))).toMatch(/its rule rejects/);
});

test("what skopeo and we make of scopes is the same", async () => {
  const image = `${lab.host}/gpg/unsigned:v1`;
  for (const scope of ["", "/gpg", "/gpg/unsigned", "/gpg/unsigned:v1", "/gp", "/gpg/unsigned:v2"]) {
    const docker = { [`${lab.host}${scope}`]: [{ type: "insecureAcceptAnything" }] };
    const file = join(root, "scopes.json");
    writeFileSync(file, JSON.stringify({ default: [{ type: "reject" }], transports: { docker } }));
    const args = [
      "--policy",
      file,
      "copy",
      "--quiet",
      "--src-tls-verify=false",
      `docker://${image}`,
      `dir:${root}/copy`,
    ];
    const { exitCode } = await exec("skopeo", args, { okCodes: "any" });
    copyFileSync(file, join(etc, "policy.json"));
    const ours = await open()
      .pull(image, { signal })
      .then(
        () => 0,
        () => 1,
      );
    expect([scope, ours]).toEqual([scope, exitCode]);
  }
});

describe("editing", () => {
  test("keeps keys by their content, and removes them with their rule", async () => {
    const { file, keys } = await add("/a", gpg(alice));
    expect(keys.map(({ label }) => label).join()).toMatch(/^Alice/);
    const kept = (): string[] => readdirSync(join(etc, "trust/keys"));
    expect(kept()).toEqual([expect.stringMatching(/^[0-9a-f]{12}-alice\.asc$/)]);
    const before = readFileSync(file, "utf8");
    expect(await refusal(add("/a", { type: "accept" }))).toMatch(/already-exists: .*--replace/);
    expect(readFileSync(file, "utf8")).toBe(before);
    await add("/b", sigstore(cosign));
    expect(kept()).toHaveLength(2);
    await removeRule(etc, `${lab.host}/a`);
    expect(kept()).toHaveLength(1);
    expect(existsSync(join(etc, "registries.d")) && readdirSync(join(etc, "registries.d"))).toEqual([]);
    expect(await refusal(removeRule(etc, `${lab.host}/a`))).toMatch(/^not-found/);
  });

  test("refuses keys that are none, and writes nothing", async () => {
    const bad = join(root, "bad");
    writeFileSync(bad, "no key\n");
    const file = (type: "gpg" | "sigstore", path: string): NewRule =>
      type === "gpg" ? { type, keyFiles: [path], lookaside: undefined } : { type, keyFiles: [path] };
    expect(await refusal(add("/x", file("gpg", bad)))).toMatch(/invalid-config: .*bad holds no GPG public keys/);
    expect(await refusal(add("/x", file("sigstore", bad)))).toMatch(/holds no PEM block/);
    expect(await refusal(add("/x", file("gpg", "/nonexistent")))).toMatch(/^not-found/);
    writeFileSync(bad, cosign?.privateKey.export({ type: "pkcs8", format: "pem" }) ?? "");
    expect(await refusal(add("/x", file("sigstore", bad)))).toMatch(/private key, which must stay with the signer/);
    expect(existsSync(join(etc, "policy.json"))).toBe(false);
  });

  test("many at once lose nothing", async () => {
    await Promise.all([1, 2, 3, 4, 5].map((n) => add(`/many${n}`, { type: "accept" })));
    const { transports } = JSON.parse(readFileSync(join(etc, "policy.json"), "utf8")) as {
      transports: { docker: object };
    };
    expect(Object.keys(transports.docker)).toHaveLength(5);
  });
});
