import { describe, expect, test } from "vitest";
import { authFileText, credentialsFor, parseDockerConfig, parseDockercfg } from "../../src/image/pull/credentials.ts";
import { explainFailure } from "../../src/image/pull/explain.ts";
import { pod as podSchema, secret } from "../../src/manifest/schema/index.ts";
import { pullSecretsFor } from "../../src/pod/rules/pull-secrets.ts";
import { GantryError } from "../../src/system/errors.ts";

const auth = (text: string): string => Buffer.from(text).toString("base64");
const users = (name: string, keys: readonly string[]): string[] => {
  const entries = Object.fromEntries(keys.map((key) => [key, { auth: auth(`${key}:pw`) }]));
  return credentialsFor(name, entries, "test").map(({ username }) => username ?? "");
};

describe("which password is for which image", () => {
  test.each<[string, string, boolean]>([
    ["registry.example.com/app:1", "registry.example.com", true],
    ["registry.example.com/app:1", "https://registry.example.com/v2/", true],
    ["registry.example.com/app:1", "registry.example.org", false],
    ["registry.example.com/app:1", "example.com", false],
    ["registry.example.com/app:1", "*.example.com", true],
    ["registry.example.com/app:1", "*.com", false],
    ["registry.example.com:5000/app:1", "registry.example.com", false],
    ["registry.example.com:5000/app:1", "*.example.com:5000", true],
    ["registry.example.com/team/app:1", "registry.example.com/team", true],
    ["registry.example.com/team/app:1", "registry.example.com/other", false],
    ["busybox", "https://index.docker.io/v1/", true],
    ["busybox", "docker.io", true],
    ["team/app:1", "docker.io/team", true],
    ["quay.io/team/app:1", "docker.io", false],
  ])("%s and the entry %s: %s", (name, key, is) => {
    // The user's name can't hold a colon.
    const entries = { [key]: { username: "joe", password: "pw" } };
    expect(credentialsFor(name, entries, "test")).toHaveLength(is ? 1 : 0);
  });

  test("the most specific comes first, and all that fit are tried", () => {
    const keys = ["example.com", "example.com/team/app", "example.com/team", "other.com"];
    expect(users("example.com/team/app:1", keys)).toEqual(["example.com/team/app", "example.com/team", "example.com"]);
  });

  test("entries without anything in them are passed over; a token is enough", () => {
    expect(credentialsFor("a.com/x", { "a.com": {} }, "test")).toEqual([]);
    expect(credentialsFor("a.com/x", { "a.com": { identitytoken: "t" } }, "test")).toEqual([
      { identityToken: "t", from: "test" },
    ]);
  });
});

test("the file for skopeo has the host's entries, and the chosen one where it wins", () => {
  const host = { "https://mirror.example.com/v2/": { username: "m", password: "m" } };
  const text = authFileText("example.com/team/app:1", { username: "joe", password: "p:w", from: "x" }, host);
  expect(JSON.parse(text)).toEqual({
    auths: { "mirror.example.com": { auth: auth("m:m") }, "example.com/team/app": { auth: auth("joe:p:w") } },
  });
});

test.each(["", "nonsense", "[]", '{"auths": []}', '{"auths": {"a": 5}}', '{"auths": {"a": {"auth": 1}}}'])(
  "%j is no docker config, and its content is not in the error",
  (text) => {
    expect(() => parseDockerConfig(text, "Secret default/x")).toThrow(/Secret default\/x is no docker config/);
  },
);

describe("imagePullSecrets", () => {
  const pod = podSchema.parse({
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: "web", namespace: "default" },
    spec: {
      containers: [{ name: "app", image: "a" }],
      imagePullSecrets: [{ name: "new" }, { name: "old" }, { name: "none" }, { name: "odd" }, { name: "empty" }],
    },
  });
  const make = (type: string, data: Record<string, string>) =>
    secret.parse({ apiVersion: "v1", kind: "Secret", metadata: { name: "x" }, type, data });
  const secrets = new Map([
    [
      "new",
      make("kubernetes.io/dockerconfigjson", {
        ".dockerconfigjson": auth('{"auths":{"a.com":{"username":"new","password":"1"}}}'),
      }),
    ],
    ["old", make("kubernetes.io/dockercfg", { ".dockercfg": auth('{"a.com":{"username":"old","password":"2"}}') })],
    ["odd", make("Opaque", { a: "" })],
    ["empty", make("kubernetes.io/dockerconfigjson", {})],
  ]);
  test("both kinds, in order; what is missing or something else is said", () => {
    const { credentials, problems } = pullSecretsFor(pod, "a.com/app:1", (name) => secrets.get(name));
    expect(credentials).toEqual([
      { username: "new", password: "1", from: "Secret default/new" },
      { username: "old", password: "2", from: "Secret default/old" },
    ]);
    expect(problems.join("\n")).toMatch(/"none".*not found.*odd has the type Opaque.*empty has no key/s);
  });
  test("dockercfg is the entries alone", () => {
    expect(parseDockercfg('{"a.com":{"auth":"eA=="}}', "x")).toEqual({ "a.com": { auth: "eA==" } });
  });
});

describe("skopeo's words", () => {
  test.each<[string, string]>([
    ["Source image rejected: Running image docker://a.com/x:1 is rejected by policy.", "image-untrusted"],
    ["reading manifest v1 in a.com/x: manifest unknown: manifest unknown", "image-missing"],
    ["reading manifest v1 in a.com/x: unauthorized: authentication required", "registry-denied"],
    ["pinging container registry a.com: invalid status code from registry 429 (Too Many Requests)", "registry-failed"],
    ["dial tcp 192.0.2.1:443: i/o timeout", "registry-failed"],
    ["Digest did not match, expected sha256:1, got sha256:2", "image-invalid"],
    ["something that nobody has seen before", "registry-failed"],
  ])("%s: %s", (said, code) => {
    const error = new GantryError("command-failed", "skopeo failed", {
      details: { stderr: `time="2024" level=fatal msg="${said}"\n` },
    });
    expect(explainFailure(error, "a.com/x:1", "a.com")).toMatchObject({
      code,
      message: expect.stringContaining("a.com/x:1"),
      hint: expect.stringMatching(/\w/),
    });
  });
});
