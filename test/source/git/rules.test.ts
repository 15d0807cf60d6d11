import { createHmac } from "node:crypto";
import { expect, test } from "vitest";
import {
  applied,
  becameHealthy,
  decide,
  fetched,
  fetchFailed,
  NOTHING_KNOWN,
  refused,
  remainingMs,
  rollbackTarget,
  wentBack,
} from "../../../src/source/git/facts.ts";
import { judge, waveIsDone } from "../../../src/source/git/health.ts";
import { claimsSignature, isSigned } from "../../../src/source/git/hook-signature.ts";
import { nextFetchMs } from "../../../src/source/git/pace.ts";
import { highestTag, parseRemoteRefs } from "../../../src/source/git/pick.ts";
import { gitSourceSchema } from "../../../src/source/git/schema.ts";
import { folderIn, parseRepositoryUrl, refProblem, withoutSecrets } from "../../../src/source/git/url.ts";
import { judgeSignature } from "../../../src/source/git/verify.ts";
import { podFact } from "./lab.ts";

test.each([
  "https://example.com/a.git",
  "https://user:secret@example.com/a.git",
  "ssh://git@example.com:2222/a.git",
  "git@example.com:team/a.git",
  "example.com:a.git",
  "file:///srv/a.git",
  "/srv/a.git",
  "http://127.0.0.1:8080/a.git",
])("%s can be followed", (url) => {
  expect(parseRepositoryUrl(url)).toMatchObject({ transport: expect.any(String) });
});

test.each([
  "",
  "--upload-pack=touch /tmp/x",
  "-oProxyCommand=x:y",
  "ext::sh -c true",
  "ext::sh%20-c%20true",
  "fd::17",
  "ssh://-oProxyCommand=x/a",
  "ssh://-user@example.com/a",
  "ssh://git:secret@example.com/a",
  "-host:a",
  "host:-a",
  "ftp://example.com/a",
  "file://host/a",
  "ssh://%2doProxyCommand=x@host/a",
  "ssh://git@host/a%0ab",
  "https://exa mple.com/a",
  "https://example.com/a\nb",
  "a.git",
])("%j can't be followed", (url) => {
  expect(parseRepositoryUrl(url)).toEqual(expect.any(String));
});

test("secrets of URLs are not shown, and don't go to Git with the URL", () => {
  expect(parseRepositoryUrl("https://me:p%40ss@example.com/a")).toMatchObject({
    url: "https://example.com/a",
    user: "me",
    password: "p@ss",
  });
  expect(withoutSecrets("fatal: unable to access 'https://me:secret@example.com/a/': no")).toBe(
    "fatal: unable to access 'https://example.com/a/': no",
  );
  expect(withoutSecrets("'https://me:p@ss'word@example.com/a@b'")).toBe("'https://example.com/a@b'");
  expect(withoutSecrets("ssh://git@example.com/a")).toBe("ssh://git@example.com/a");
});

test.each(["-x", "a..b", "a b", "a~1", "a:b", "/a", "a/", ".a", "a.lock", "@", "a@{1}", "a\\b", ""])(
  "%j is no ref",
  (name) => {
    expect(refProblem(name)).toBeDefined();
  },
);

test("folders stay inside", () => {
  expect([
    folderIn(""),
    folderIn("./a//b/"),
    folderIn("../a"),
    folderIn("a/../../b"),
    folderIn("/a"),
    folderIn(".git/x"),
  ]).toEqual(["", "a/b", undefined, undefined, undefined, undefined]);
});

test("what contradicts itself is refused", () => {
  const of = (input: object) =>
    gitSourceSchema.safeParse({ name: "a", url: "https://example.com/a", ...input }).success;
  expect([
    of({}),
    of({ branch: "a", tag: "b" }),
    of({ url: "http://example.com/a" }),
    of({ url: "http://example.com/a", insecure: true }),
    of({ url: "git://example.com/a", verify: { ssh: "/a" } }),
    of({ sshKey: "/key" }),
    of({ url: "a@b:c", passwordFile: "/p" }),
    of({ url: "a@b:c", sshKey: '/k"; touch /x' }),
    of({ verify: {} }),
    of({ semver: "not a range" }),
    of({ brnch: "main" }),
    of({ name: "../a" }),
  ]).toEqual([true, false, false, true, true, false, false, false, false, false, false, false]);
});

test("the highest version in the range", () => {
  const refs = parseRemoteRefs(
    ["v1.2.0", "1.10.0", "v1.11.0-rc.1", "v2.0.0", "nightly", "v1.2.0^{}"]
      .map((tag) => `${"a".repeat(40)}\trefs/tags/${tag}`)
      .join("\n"),
  );
  expect(["^1", "~1.2", ">=1.11.0-0 <2", "*", "^3"].map((range) => highestTag(refs, range))).toEqual([
    "1.10.0",
    "v1.2.0",
    "v1.11.0-rc.1",
    "v2.0.0",
    undefined,
  ]);
});

test("the pace: jitter, and backoff that ends somewhere", () => {
  expect([0, 0.5, 1].map((random) => nextFetchMs(60_000, 0, random))).toEqual([54_000, 60_000, 66_000]);
  expect([1, 2, 3, 4, 9, 99].map((failures) => nextFetchMs(60_000, failures, 0.5))).toEqual([
    5_000, 10_000, 20_000, 40_000, 600_000, 600_000,
  ]);
});

const revision = (oid: string) => ({ oid, author: "a", authoredAt: 0, subject: "s" });
const apply = (facts: typeof NOTHING_KNOWN, oid: string, now = 0) =>
  applied(
    fetched(facts, revision(oid), now),
    {
      revision: revision(oid),
      folder: "",
      kept: [],
      signer: undefined,
      wave: undefined,
      deadlineMs: 1000,
      excused: [],
    },
    now,
  );

test("decisions: what is in force, blocked, refused, or new", () => {
  const one = becameHealthy(apply(NOTHING_KNOWN, "1"));
  const two = apply(one, "2", 5);
  const back = wentBack(two, { revision: revision("1"), folder: "", kept: [] }, "unhealthy", "why", 9);
  const type = (facts: typeof one, oid: string, insist = false, folder = "") =>
    decide(facts, revision(oid), folder, insist).type;
  expect([
    type(one, "1"),
    type(one, "1", false, "other"),
    type(one, "2"),
    type(back, "2"),
    type(back, "2", true),
    type(back, "3"),
  ]).toEqual(["nothing", "consider", "consider", "blocked", "consider", "consider"]);
  const no = refused(one, revision("2"), "unsigned", 5);
  expect(type(no, "2")).toBe("consider"); // a key may have been added
  expect(refused(no, revision("2"), "unsigned", 6).history).toHaveLength(2);
  expect(fetched(back, revision("3"), 10).blocked).toBeUndefined();
  expect(fetched(back, revision("2"), 10).blocked).toBeDefined();
  expect(back.history.map(({ outcome }) => outcome)).toEqual(["RolledBack", "Healthy"]);
  expect(rollbackTarget(two, undefined)).toMatchObject({ oid: "1" });
  expect(rollbackTarget(two, "9")).toContain("no revision");
});

test("failures count from the first", () => {
  const facts = fetchFailed(fetchFailed(NOTHING_KNOWN, "a", undefined, 5), "b", "hint", 9);
  expect(facts.failure).toEqual({ since: 5, count: 2, message: "b", hint: "hint" });
  expect(fetched(facts, revision("1"), 10).failure).toBeUndefined();
});

test("probation", () => {
  const trying = { since: 1000, until: 2000, excused: ["default/old#1"] };
  const pod = (name: string, fact = {}) => ({ ...podFact(name, fact), wave: 0, revision: undefined, kept: undefined });
  const unready = pod("web", { readySince: undefined });
  expect(judge(trying, [], 1000, 0)).toEqual({ type: "healthy" });
  expect(judge(trying, [unready], 1500, 0)).toEqual({ type: "wait", afterMs: 500 });
  expect(judge(trying, [unready], 2000, 0)).toMatchObject({
    type: "failed",
    message: expect.stringContaining("within 1 s"),
  });
  expect(judge(trying, [pod("old", { readySince: undefined })], 1500, 0)).toEqual({ type: "healthy" });
  expect(judge(trying, [pod("web", { readySince: 1400 })], 1500, 300)).toEqual({ type: "wait", afterMs: 200 });
  expect(judge(trying, [pod("web", { final: true, message: "m" })], 1100, 0).type).toBe("failed");
  // A clock that was set back by a year makes it no longer.
  expect(remainingMs(trying, -1e10)).toBe(1000);
  expect(judge(trying, [pod("web", { readySince: 1e12 })], 1500, 300)).toEqual({ type: "wait", afterMs: 300 });
  expect(waveIsDone([{ ...unready, wave: 2 }, pod("a")], 1)).toBe(true);
  expect(waveIsDone([{ ...unready, wave: 1 }], 1)).toBe(false);
});

test("webhooks of GitHub, GitLab, Gitea and Forgejo", () => {
  const body = Buffer.from('{"ref":"refs/heads/main"}');
  const hmac = createHmac("sha256", "secret").update(body).digest("hex");
  expect([
    isSigned({ "x-hub-signature-256": `sha256=${hmac}` }, body, "secret"),
    isSigned({ "x-gitea-signature": hmac }, body, "secret"),
    isSigned({ "x-forgejo-signature": hmac }, body, "secret"),
    isSigned({ "x-gitlab-token": "secret" }, body, "secret"),
    isSigned({}, body, "secret"),
    isSigned({ "x-gitlab-token": "" }, body, ""),
    isSigned({ "x-hub-signature-256": hmac }, body, "secret"),
    isSigned({ "x-gitea-signature": hmac }, Buffer.from("other"), "secret"),
    isSigned({ "x-gitlab-token": "secret", "x-gitea-signature": "0" }, body, "secret"),
  ]).toEqual([true, true, true, true, false, false, false, false, false]);
  // What claims nothing is not even read.
  expect([claimsSignature({ "x-gitlab-token": "" }), claimsSignature({ "content-type": "a/b" })]).toEqual([
    true,
    false,
  ]);
});

test("what Git says of signatures", () => {
  expect(judgeSignature('Good "git" signature for ada@example.com with ED25519 key SHA256:abc\n', 0)).toEqual({
    type: "good",
    signer: "ada@example.com (SHA256:abc)",
  });
  expect(judgeSignature('Good "git" signature with ED25519 key SHA256:abc\nNo principal matched.\n', 1)).toMatchObject({
    type: "bad",
  });
  const gpg = "[GNUPG:] GOODSIG 0123 Ada <ada@example.com>\n[GNUPG:] VALIDSIG FEED 2026-01-01\n";
  expect(judgeSignature(gpg, 0)).toEqual({ type: "good", signer: "Ada <ada@example.com> (FEED)" });
  expect(judgeSignature(gpg, 1).type).toBe("bad");
  expect(judgeSignature("[GNUPG:] EXPKEYSIG 0123 Ada\n[GNUPG:] VALIDSIG FEED\n", 0).type).toBe("bad");
  expect(judgeSignature("[GNUPG:] ERRSIG 0123 22 8 00 1 9\n", 1).type).toBe("bad");
  expect(judgeSignature("", 1)).toEqual({ type: "unsigned" });
  expect(judgeSignature("", 0).type).toBe("bad");
});
