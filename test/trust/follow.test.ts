import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { isGantryError } from "../../src/system/errors.ts";
import { silentLogger } from "../../src/system/log.ts";
import { layout } from "../../src/system/paths.ts";
import { TufFollower } from "../../src/trust/follow.ts";
import { createTrust } from "../../src/trust/index.ts";
import { makeSigstoreKey } from "../support/signing-lab.ts";
import { newSigner, TufRepository } from "./tuf-repository.ts";

/** A repository that is followed by the rules, and one that breaks each of them. */
let repository: TufRepository;
let dir: string;
let root: string;
let key: string;
const signal = new AbortController().signal;
const POLICY = (type: string): string => JSON.stringify({ default: [{ type }] });

beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), "gantry-tuf-"));
  root = join(dir, "root.json");
  key = makeSigstoreKey(dir, "release.pub").publicKey.export({ type: "spki", format: "pem" }).toString();
  repository = new TufRepository();
  repository.publishRoot();
  repository.publish({ "policy.json": POLICY("reject") });
  await repository.start();
  writeFileSync(root, repository.root);
});
afterEach(async () => {
  await repository.stop();
  rmSync(dir, { recursive: true });
});

function follower(now: () => number = Date.now): TufFollower {
  return new TufFollower({
    url: repository.url,
    root,
    dir: join(dir, "tuf"),
    clock: { now, setTimeout: () => 0, clearTimeout: () => undefined, ofHost: (ms) => ms },
  });
}

async function failure(work: Promise<unknown>): Promise<string> {
  const error = await work.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  if (!isGantryError(error)) throw new Error(`did not fail: ${String(error)}`);
  return `${error.code}: ${error.message}`;
}

const past = new Date(Date.now() - 60_000).toISOString().replace(/\.\d+Z$/, "Z");
const defaultOf = async (one: TufFollower): Promise<string | undefined> =>
  (await one.current()).policy?.policy.default[0]?.type;

test("nothing is known before the first look, and after it what it found", async () => {
  const one = follower();
  expect(await one.current()).toEqual({
    policy: undefined,
    stale: `the policy of ${repository.url} has not been fetched yet`,
  });
  expect(await one.follow(signal)).toMatchObject({ changed: true, version: 1 });
  expect(await defaultOf(one)).toBe("reject");
  expect(await one.follow(signal)).toMatchObject({ changed: false });
  repository.publish({ "policy.json": POLICY("insecureAcceptAnything") });
  expect(await one.follow(signal)).toMatchObject({ changed: true, version: 2 });
  expect(await defaultOf(one)).toBe("insecureAcceptAnything");
  expect((await one.current()).stale).toBeUndefined();
  expect(readdirSync(join(dir, "tuf")).filter((name) => name.startsWith("generation-"))).toHaveLength(1);
  // Another process finds it, without asking.
  await repository.stop();
  expect(await defaultOf(follower())).toBe("insecureAcceptAnything");
  await repository.start();
});

test("keys come along; paths out of the repository do not", async () => {
  const rule = (keyPath: string): string =>
    JSON.stringify({
      default: [{ type: "reject" }],
      transports: { docker: { "a.example.com": [{ type: "sigstoreSigned", keyPath }] } },
    });
  repository.publish({ "policy.json": rule("keys/release.pub"), "keys/release.pub": key });
  const one = follower();
  await one.follow(signal);
  const trust = createTrust({
    paths: layout(dir),
    imports: "accept",
    followed: () => one.current(),
    log: silentLogger(),
  });
  const { rules } = await trust.effective();
  expect(rules.map(({ scope, followed, from }) => [scope, followed, from])).toEqual([
    ["a.example.com", true, repository.url],
    [undefined, true, repository.url],
  ]);
  expect(rules[0]?.requirements[0]?.requirement).toMatchObject({ keyData: Buffer.from(key).toString("base64") });

  repository.publish({ "policy.json": rule("keys/missing.pub") });
  expect(await failure(one.follow(signal))).toMatch(/image-untrusted: .*no target keys\/missing\.pub/);
  for (const path of ["/etc/shadow", "../../root.json"]) {
    repository.publish({ "policy.json": rule(path) });
    expect(await failure(one.follow(signal))).toMatch(/invalid-config: .*must be relative to the policy/);
  }
  repository.publish({ "policy.json": '{"default": [' });
  expect(await failure(one.follow(signal))).toMatch(/invalid-config/);
  expect(await defaultOf(one)).toBe("reject");
});

describe("a repository that breaks the rules changes nothing", () => {
  const broken: readonly (readonly [string, (one: TufFollower) => void | Promise<void>, RegExp])[] = [
    ["expired timestamp", () => expire("timestamp"), /expired/],
    ["expired snapshot", () => expire("snapshot"), /expired/],
    ["expired targets", () => expire("targets"), /expired/],
    [
      "expired root",
      () => {
        repository.expires.root = past;
        repository.publishRoot();
        repository.publish(EVIL);
      },
      /expired/,
    ],
    [
      "rolled back to an earlier version",
      async (one) => {
        const old = new Map(repository.files);
        repository.publish({ "policy.json": POLICY("reject") });
        await one.follow(signal);
        for (const [name, content] of old) repository.files.set(name, content);
      },
      /less than current version/,
    ],
    [
      "an older snapshot under a newer timestamp",
      async (one) => {
        repository.publish({ "policy.json": POLICY("reject") });
        await one.follow(signal);
        repository.versions.snapshot = 0;
        repository.publish(EVIL);
      },
      /version/,
    ],
    ["signed with another key", () => forge("targets"), /signed|signature/i],
    ["a timestamp signed with another key", () => forge("timestamp"), /signed|signature/i],
    [
      "a new root that the old one has not signed",
      () => {
        repository.signers.root = newSigner();
        repository.publishRoot();
        repository.publish(EVIL);
      },
      /signed|signature/i,
    ],
    [
      "other content than promised",
      () => {
        repository.publish(EVIL);
        repository.files.set("targets/policy.json", Buffer.from(POLICY("insecureAcceptAnything").replace(":[", ": [")));
      },
      /length|hash/i,
    ],
    [
      "endless content",
      () => {
        repository.publish(EVIL);
        repository.files.set("targets/policy.json", Buffer.alloc(10_000_000, " "));
      },
      /length/i,
    ],
    ["garbage", () => void repository.files.set("timestamp.json", Buffer.from("<html>")), /JSON/],
    ["no policy", () => repository.publish({ other: "x" }), /no target policy\.json/],
  ];
  const EVIL = { "policy.json": POLICY("insecureAcceptAnything") };
  const expire = (role: "timestamp" | "snapshot" | "targets"): void => {
    repository.expires[role] = past;
    repository.publish(EVIL);
  };
  const forge = (role: "timestamp" | "targets"): void => {
    repository.signers[role] = newSigner();
    repository.publish(EVIL);
  };
  test.each(broken)("%s", async (_name, breakIt, message) => {
    const one = follower();
    await one.follow(signal);
    await breakIt(one);
    const said = await failure(one.follow(signal));
    expect(said).toMatch(/^image-untrusted: the TUF repository http/);
    expect(said).toMatch(message);
    expect(await one.current()).toMatchObject({ stale: undefined });
    expect(await defaultOf(one)).toBe("reject");
    // Asking again makes it no better.
    await failure(one.follow(signal));
    expect(await defaultOf(follower())).toBe("reject");
  });
});

test("keys are rotated when the old ones have signed that", async () => {
  const one = follower();
  await one.follow(signal);
  const before = repository.signers.root;
  repository.signers.root = newSigner();
  repository.signers.targets = newSigner();
  repository.publishRoot([before, repository.signers.root]);
  repository.publish({ "policy.json": POLICY("insecureAcceptAnything") });
  expect(await one.follow(signal)).toMatchObject({ changed: true });
  // The old root key is worth nothing any more.
  repository.publishRoot([before]);
  expect(await failure(one.follow(signal))).toMatch(/signed|signature/i);
});

test("what is frozen or out of reach stays in force until it expires, and then lets nothing new in", async () => {
  let now = Date.now();
  repository.expires.timestamp = new Date(now + 3_600_000).toISOString().replace(/\.\d+Z$/, "Z");
  repository.publish({ "policy.json": POLICY("insecureAcceptAnything") });
  const one = follower(() => now);
  await one.follow(signal);
  const trust = createTrust({
    paths: layout(dir),
    imports: "accept",
    followed: () => one.current(),
    log: silentLogger(),
  });
  await repository.stop();
  expect(await failure(one.follow(signal))).toMatch(
    /^registry-failed: the TUF repository .* can't be read: .*ECONNREFUSED/,
  );
  await trust.rule("a.example.com/x");
  now += 3_600_001;
  expect(await failure(trust.rule("a.example.com/x"))).toMatch(
    /^image-untrusted: .*a\.example\.com\/x:latest is not trusted: the policy of .* expired at .* and no newer one is there \(.*ECONNREFUSED/,
  );
  await repository.start();
});

test("a newer timestamp alone does not make an older policy valid for longer", async () => {
  repository.expires.timestamp = new Date(Date.now() + 3_600_000).toISOString().replace(/\.\d+Z$/, "Z");
  repository.publish();
  const one = follower();
  await one.follow(signal);
  const until = await one.validUntil();
  repository.expires.timestamp = new Date(Date.now() + 7_200_000).toISOString().replace(/\.\d+Z$/, "Z");
  repository.publish();
  repository.files.delete("snapshot.json");
  await failure(one.follow(signal));
  expect(await one.validUntil()).toBe(until);
});

test("the first root", async () => {
  rmSync(root);
  expect(await failure(follower().follow(signal))).toMatch(
    /invalid-config: trust\.tuf: the first root .* cannot be read/,
  );
  writeFileSync(root, "{}");
  expect(await failure(follower().follow(signal))).toMatch(/is no root\.json/);
  // That of somebody else: nothing of this repository can be believed.
  const other = new TufRepository();
  other.publishRoot();
  writeFileSync(root, other.root);
  expect(await failure(follower().follow(signal))).toMatch(/image-untrusted/);
  writeFileSync(root, repository.root);
  await follower().follow(signal);
  writeFileSync(root, other.root);
  expect((await follower().current()).policy).toBeUndefined();
});

test("nothing is let in before the repository was read for the first time", async () => {
  const one = follower();
  const trust = createTrust({
    paths: layout(dir),
    imports: "accept",
    followed: () => one.current(),
    log: silentLogger(),
  });
  expect(await failure(trust.rule("a.example.com/x"))).toMatch(/has not been fetched yet/);
});
