import { describe, expect, test } from "vitest";
import { withRule } from "../../src/trust/edit.ts";
import { identityForDigest, identityMatches } from "../../src/trust/identity.ts";
import { parseColons } from "../../src/trust/keys.ts";
import { formatPolicy, parsePolicy } from "../../src/trust/policy.ts";
import { parseScope, ruleFor, scopesOf } from "../../src/trust/scopes.ts";

const ACCEPT = { type: "insecureAcceptAnything" } as const;
const REJECT = { type: "reject" } as const;
const HEX = "a".repeat(64);

function problem(text: string): string {
  try {
    parsePolicy(text, "policy.json");
    return "none";
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

describe("policy.json", () => {
  test.each([
    ['{"default":[]}', "policy.json:1:2: default: must have at least one"],
    ["{}", "policy.json:1:1: default"],
    [
      '{\n  "default": [\n    {"type": "allow"}\n  ]\n}',
      'policy.json:3:6: default.0.type: "allow" must be insecureAcceptAnything, reject, signedBy or sigstoreSigned',
    ],
    ['{"default":[{"type":"signedBy","keyType":"GPGKeys"}]}', "needs exactly one of keyPath, keyPaths and keyData"],
    ['{"default":[{"type":"signedBy","keyType":"PGP","keyPath":"/k"}]}', "keyType"],
    [
      '{"default":[{"type":"sigstoreSigned","keyPath":"key.pub"}]}',
      'default.0.keyPath: "key.pub" must be an absolute path',
    ],
    ['{"default":[{"type":"reject"}],"transport":{}}', "transport: unknown setting (did you mean 'transports'?)"],
    ['{"default":[{"type":"reject"}], /* no */ }', "policy.json"],
    ['{"default":[{"type":"reject"}],"default":[{"type":"reject"}]}', "unique"],
    ['{"default":[{"type":"reject"}],}', "policy.json"],
    ["", "policy.json"],
  ])("%s", (text, message) => {
    expect(problem(text)).toContain(message);
  });

  test("is written in one way, whatever the order", () => {
    const rules = { "b.example.com": [REJECT], "a.example.com": [ACCEPT] };
    const one = formatPolicy({ transports: { docker: rules, "docker-daemon": { "": [ACCEPT] } }, default: [REJECT] });
    expect(one).toBe(formatPolicy(parsePolicy(one, "p")));
    expect(one.indexOf("a.example")).toBeLessThan(one.indexOf("b.example"));
    expect(one).toContain("docker-daemon");
    const without = withRule(withRule(parsePolicy(one, "p"), "a.example.com", undefined), "b.example.com", undefined);
    expect(formatPolicy(without)).not.toContain('"docker"');
  });
});

test("the scopes of an image, the most specific first", () => {
  expect(scopesOf("busybox")).toEqual([
    "docker.io/library/busybox:latest",
    "docker.io/library/busybox",
    "docker.io/library",
    "docker.io",
    "*.io",
  ]);
  expect(scopesOf("reg.example.com:5000/team/app:v1")).toEqual([
    "reg.example.com:5000/team/app:v1",
    "reg.example.com:5000/team/app",
    "reg.example.com:5000/team",
    "reg.example.com:5000",
    "*.example.com",
    "*.com",
  ]);
  expect(scopesOf(`reg.example.com/app:v1@sha256:${HEX}`)[0]).toBe(`reg.example.com/app@sha256:${HEX}`);
});

test("the most specific rule alone decides", () => {
  const policy = {
    default: [ACCEPT],
    transports: {
      docker: { "": [REJECT], "docker.io": [ACCEPT], "docker.io/library/evil": [REJECT], constructor: [REJECT] },
    },
  };
  expect(ruleFor(policy, "busybox").scope).toBe("docker.io");
  expect(ruleFor(policy, "evil:1").requirements).toEqual([REJECT]);
  expect(ruleFor(policy, "evilish").requirements).toEqual([ACCEPT]);
  expect(ruleFor(policy, "other.example.com/x").scope).toBe("");
  expect(ruleFor({ default: [REJECT] }, "x").scope).toBeUndefined();
});

describe("prefixes as people type them", () => {
  test.each([
    "docker.io",
    "docker.io/library",
    "docker.io/bitnami",
    "reg.example.com:5000/team",
    "reg.example.com:5000",
    "localhost/x",
    "docker.io/library/busybox:1.36",
    "*.example.com",
    `a.b/c@sha256:${HEX}`,
  ])("%s", (scope) => expect(parseScope(scope)).toBe(scope));
  test.each([
    ["busybox", "docker.io/library/busybox"],
    ["team/app", "docker.io/team/app"],
    ["", "empty"],
    ["docker.io/", "slash"],
    ["ex*.com", "registry"],
    ["*.a b", "wildcard"],
    ["docker.io/Team", "capital"],
    ["docker.io/busybox:1", "docker.io/library/busybox"],
    ["reg.example.com:port", "port"],
  ])("%j is refused", (scope, message) => {
    expect(() => parseScope(scope)).toThrow(message);
  });
});

describe("the identity in a signature", () => {
  const name = "reg.example.com/team/app:v1";
  test.each([
    [undefined, name, name, true],
    [undefined, name, "reg.example.com/team/app:v2", false],
    [undefined, name, "reg.example.com/team/app", false],
    [undefined, `reg.example.com/team/app@sha256:${HEX}`, "reg.example.com/team/app:v9", true],
    [{ type: "matchExact" }, `reg.example.com/team/app@sha256:${HEX}`, "reg.example.com/team/app:v9", false],
    [{ type: "matchRepository" }, name, "reg.example.com/team/app", true],
    [{ type: "matchRepository" }, name, "reg.example.com/team/app2", false],
    [{ type: "exactReference", dockerReference: "other.example.com/a:1" }, name, "other.example.com/a:1", true],
    [{ type: "exactRepository", dockerRepository: "other.example.com/a" }, name, "other.example.com/a:7", true],
    [
      { type: "remapIdentity", prefix: "reg.example.com", signedPrefix: "up.example.com/x" },
      name,
      "up.example.com/x/team/app:v1",
      true,
    ],
    [
      { type: "remapIdentity", prefix: "reg.example.co", signedPrefix: "evil.example.com" },
      name,
      "evil.example.comm/team/app:v1",
      false,
    ],
    [{ type: "matchRepository" }, name, "Not A Name", false],
  ] as const)("%j for %s: signed for %s is %s", (rule, wanted, signed, matches) => {
    expect(identityMatches(rule, wanted, signed)).toBe(matches);
  });
  test("is still asked for when the image is copied by its digest", () => {
    expect(identityForDigest(undefined, name)).toEqual({ type: "exactReference", dockerReference: name });
    expect(identityForDigest({ type: "matchRepository" }, name)).toEqual({ type: "matchRepository" });
    expect(identityForDigest(undefined, `a.b/c@sha256:${HEX}`)).toEqual({ type: "matchRepoDigestOrExact" });
    const remap = { type: "remapIdentity", prefix: "reg.example.com", signedPrefix: "up.example.com" } as const;
    expect(identityForDigest(remap, name)).toEqual({
      type: "exactReference",
      dockerReference: "up.example.com/team/app:v1",
    });
  });
});

test("keys as gpg lists them: the primary key's fingerprint and the first owner", () => {
  const text =
    "pub:u:255:22:C9B4AFBEEB4141F4:1:::u:::scSC::::::0:\nfpr:::::::::FE6C15CF0DCF1D06D40F508AC9B4AFBEEB4141F4:\nuid:u::::1::AD::Al\\x3aice <a@example.com>::::::::::0:\nuid:u::::1::AD::Other::::::::::0:\nsub:u:255:22:0000:1:::u:::s:\nfpr:::::::::0000000000000000000000000000000000000000:\n";
  expect(parseColons(text)).toEqual([
    {
      type: "gpg",
      fingerprint: "FE6C15CF0DCF1D06D40F508AC9B4AFBEEB4141F4",
      label: "Al:ice <a@example.com> (GPG C9B4AFBEEB4141F4)",
    },
  ]);
});
