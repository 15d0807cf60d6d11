/** What pipelines use: findings in the forms of CI systems, and plans between revisions. No daemon is there. */
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Ajv } from "ajv";
import * as formats from "ajv-formats";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { findings } from "../../src/cli/output/findings.ts";
import type { Problem } from "../../src/manifest/index.ts";
import { encryptAge, newIdentity } from "../../src/secrets/index.ts";
import { exec } from "../../src/system/exec.ts";
import { cli, type Result } from "./support/run.ts";

let scratch: string;
let repo: string;
const git = async (...args: string[]): Promise<string> => {
  const who = ["-c", "user.name=T", "-c", "user.email=t@example.com", "-c", "init.defaultBranch=main"];
  return (await exec("git", [...who, ...args], { cwd: repo })).stdout.trim();
};
const gantry = (...args: string[]): Promise<Result> => cli(["--root", join(scratch, "root"), ...args]);
const pod = (name: string, tag = 1): string =>
  `apiVersion: v1\nkind: Pod\nmetadata: {name: ${name}}\nspec:\n  containers: [{name: app, image: "localhost/app:${tag}"}]\n`;
const secret = (value: string): string =>
  `apiVersion: v1\nkind: Secret\nmetadata: {name: db}\nstringData: {password: ${value}}\n`;

beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), "gantry-ci-"));
  repo = join(scratch, "repo");
  await mkdir(join(repo, "pods"), { recursive: true });
  await git("init", "-q");
  await writeFile(join(repo, "pods/web.yaml"), pod("web"));
  await writeFile(join(repo, "pods/old.yaml"), pod("old"));
  await writeFile(join(repo, "pods/same.yaml"), pod("same"));
  await writeFile(join(repo, "pods/db.yaml"), secret("hunter2"));
  await writeFile(join(repo, "pods/.hidden.yaml"), "no: manifest\n");
  await writeFile(join(repo, "notes.yaml"), "no: manifest\n");
  await git("add", ".");
  await git("commit", "-qm", "one");
  await git("tag", "v1");
  await writeFile(join(repo, "pods/web.yaml"), pod("web", 2));
  await rm(join(repo, "pods/old.yaml"));
  await git("mv", "pods/same.yaml", "pods/moved.yaml");
  await writeFile(join(repo, "pods/new.yaml"), pod("new"));
  await writeFile(join(repo, "pods/db.yaml"), secret("hunter3"));
  await git("add", "-A");
  await git("commit", "-qm", "two");
  // Neither is to be seen: nothing is checked out, and the work tree is not looked at.
  await writeFile(join(repo, "pods/web.yaml"), "broken: [");
});
afterAll(() => rm(scratch, { recursive: true, force: true }));

describe("plan between revisions", () => {
  test("tells what a merge changes, without values of Secrets, and leaves the work tree alone", async () => {
    const { code, stdout, stderr } = await gantry("plan", "pods", "--repo", repo, "--from", "v1", "--to", "main");
    expect([code, stderr]).toEqual([0, ""]);
    expect(stdout.split("\n")).toEqual([
      "~ Secret default/db: change data.password",
      "- default/old: stop and remove (no manifest asks for it)",
      "+ default/new: create (namespace, from pods/new.yaml)",
      "= default/web: make sure that the images are here: localhost/app:2",
      "~ default/web: restart container app",
      "1 other object, 4 steps for 3 pods.",
      "",
    ]);
    expect(stdout).not.toContain("hunter");
    expect(await git("status", "--porcelain")).toBe("M pods/web.yaml");
  });

  test("--exit-code is 5 for a change, 0 for none; JSON for scripts", async () => {
    const changed = await gantry("plan", "pods", "--repo", repo, "--from", "v1", "--exit-code", "-o", "json");
    expect(changed.code).toBe(5);
    expect(JSON.parse(changed.stdout)).toMatchObject({
      changes: [{ type: "change", object: "Secret default/db", fields: ["data.password"] }],
    });
    expect((await gantry("plan", "pods", "--repo", repo, "--from", "main", "--exit-code")).code).toBe(0);
  });

  test("against a URL, and against a folder", async () => {
    const clone = join(scratch, "clone");
    await git("clone", "-q", repo, clone);
    await writeFile(join(clone, "pods/more.yaml"), pod("more"));
    const url = await gantry("plan", join(clone, "pods"), "--against", `file://${repo}`, "--path", "pods");
    expect([url.code, url.stderr]).toEqual([0, ""]);
    expect(url.stdout).toMatch(/^\+ default\/more: create[^\n]*\n1 step for 1 pod\.\n$/);
    const folder = await gantry("plan", join(clone, "pods"), "--against", join(clone, "pods"), "--exit-code");
    expect([folder.code, folder.stdout]).toEqual([0, "Nothing to do.\n"]);
  });

  test("a broken revision fails, with places inside the repository; links that leave it are refused", async () => {
    await git("stash", "-q");
    await git("checkout", "-qb", "bad");
    await writeFile(join(repo, "pods/web.yaml"), pod("web").replace("image:", "imag:"));
    await symlink("/etc/passwd", join(repo, "pods/out.yaml"));
    await symlink("moved.yaml", join(repo, "pods/inside.yaml"));
    await git("add", "-A");
    await git("commit", "-qm", "bad");
    await git("checkout", "-q", "main");
    const { code, stdout } = await gantry(
      "plan",
      "pods",
      "--repo",
      repo,
      "--from",
      "main",
      "--to",
      "bad",
      "-o",
      "github",
    );
    expect(code).toBe(1);
    expect(stdout).toMatch(
      /^::error file=pods\/out\.yaml,line=1,col=1::is a symbolic link that leaves the repository \(to "\/etc\/passwd"\)$/m,
    );
    expect(stdout).toMatch(/^::error file=pods\/web\.yaml,line=5,col=\d+,title=Pod default\/web::.*'imag'.*$/m);
    expect(stdout).not.toContain("inside.yaml");
  });

  test.each([
    [["plan", "pods", "--from", "nowhere"], 3, /no revision 'nowhere'/],
    [["plan", "pods", "--from=--upload-pack=touch x"], 2, /is no name of a revision/],
    [["plan", "../x", "--from", "v1"], 2, /is not inside the repository/],
    [["plan", "nothing", "--from", "v1"], 3, /neither revision has nothing/],
    [["plan", "pods", "--to", "v1"], 2, /need --from/],
  ])("%j", async (args, code, message) => {
    const result = await gantry(...args, "--repo", repo);
    expect([result.code, result.stderr]).toEqual([code, expect.stringMatching(message)]);
  });

  test("variables that a hook of Git sets do not lead elsewhere", async () => {
    process.env["GIT_DIR"] = join(scratch, "clone", ".git");
    try {
      const { code, stdout } = await gantry("plan", "pods", "--repo", repo, "--from", "v1", "--to", "main");
      expect([code, stdout]).toEqual([0, expect.stringContaining("4 steps")]);
    } finally {
      delete process.env["GIT_DIR"];
    }
  });

  test("a folder that is no repository", async () => {
    const result = await gantry("plan", "--from", "v1", "--repo", "/proc");
    expect([result.code, result.stderr]).toEqual([3, expect.stringContaining("is no Git repository")]);
  });
});

describe("findings", () => {
  const problem = (over: Partial<Problem>): Problem => ({
    severity: "error",
    place: { file: "./a b/%,:.yaml", line: 3, column: 5 },
    field: "spec.x",
    message: "bad\n::warning::injected",
    hint: "do that",
    object: "Pod default/web",
    ...over,
  });
  const problems = [
    problem({}),
    problem({
      severity: "warning",
      place: { file: "/m/x.yaml", line: 1, column: 1 },
      object: undefined,
      hint: undefined,
    }),
  ];

  test("SARIF is valid by the published schema, with and without results", async () => {
    const schema: unknown = JSON.parse(await readFile("test/cli/ci/sarif-2.1.0.schema.json", "utf8"));
    const ajv = new Ajv({ strict: false, allErrors: true, unicodeRegExp: false });
    formats.default.default(ajv);
    if (typeof schema !== "object" || schema === null) throw new Error("no schema");
    const isValid = ajv.compile(schema);
    for (const some of [problems, []]) {
      expect(isValid(JSON.parse(findings("sarif", some, "0.1.0"))), JSON.stringify(isValid.errors)).toBe(true);
    }
    const [result] = JSON.parse(findings("sarif", problems, "0.1.0")).runs[0].results;
    expect(result.locations[0].physicalLocation.artifactLocation.uri).toBe("a%20b/%25%2C%3A.yaml");
  });

  test("annotations of GitHub: nothing in a message begins another command", () => {
    expect(findings("github", problems, "")).toBe(
      "::error file=./a b/%25%2C%3A.yaml,line=3,col=5,title=Pod default/web::spec.x: bad%0A::warning::injected (do that)\n" +
        "::warning file=/m/x.yaml,line=1,col=1::spec.x: bad%0A::warning::injected\n",
    );
  });

  test("code quality of GitLab", () => {
    expect(JSON.parse(findings("gitlab", problems, ""))[0]).toEqual({
      description: expect.stringContaining("spec.x: bad"),
      check_name: "manifest-error",
      fingerprint: expect.stringMatching(/^[0-9a-f]{32}$/),
      severity: "major",
      location: { path: "a b/%,:.yaml", lines: { begin: 3 } },
    });
  });

  test("validate -o github|gitlab|sarif, and its exit code", async () => {
    const file = join(scratch, "bad.yaml");
    await writeFile(file, pod("web").replace("image:", "imag:"));
    const github = await gantry("validate", "--manifests-only", "-o", "github", file);
    expect([github.code, github.stdout]).toEqual([1, expect.stringMatching(/^::error file=.*bad\.yaml,line=5/)]);
    await writeFile(file, pod("web"));
    const sarif = await gantry("validate", "--manifests-only", "-o", "sarif", file);
    expect([sarif.code, JSON.parse(sarif.stdout).runs[0].results]).toEqual([0, []]);
  });
});

describe("encrypted files", () => {
  test("keygen, encrypt, decrypt; validate says what it could not check, and checks it with the key", async () => {
    const key = join(scratch, "age.key");
    const made = await gantry("secret", "keygen", "--output", key);
    expect([made.code, made.stderr]).toEqual([0, ""]);
    const recipient = made.stdout.trim();
    expect((await gantry("secret", "keygen", "-o", key)).stderr).toContain("is there already");
    const plain = join(scratch, "plain.yaml");
    await writeFile(plain, secret("hunter2"));
    const folder = join(scratch, "encrypted");
    await mkdir(folder);
    const file = join(folder, "db.yaml.age");
    expect((await gantry("secret", "encrypt", plain, "-r", recipient, "-o", file)).code).toBe(0);
    expect((await gantry("secret", "decrypt", file, "--age-key", key)).stdout).toBe(secret("hunter2"));
    const unknown = await gantry("validate", folder);
    expect([unknown.code, unknown.stdout]).toEqual([0, expect.stringMatching(/warning: is encrypted with age/)]);
    const known = await gantry("validate", folder, "--age-key", key, "--strict");
    expect([known.code, known.stdout]).toEqual([0, "valid: 1 object in 1 file\n"]);
    const other = join(scratch, "other.key");
    await writeFile(other, `${(await newIdentity()).identity}\n`, { mode: 0o600 });
    const wrong = await gantry("validate", folder, "--age-key", other);
    expect([wrong.code, wrong.stdout]).toEqual([
      1,
      expect.stringMatching(/db\.yaml\.age:1:1: error: .*for other keys/),
    ]);
    await writeFile(join(folder, "pod.yaml.age"), await encryptAge(Buffer.from(pod("p")), [recipient]));
    expect((await gantry("validate", folder, "--age-key", key)).stdout).toContain("a Pod can't be encrypted");
    expect((await gantry("secret", "encrypt", join(repo, "pods/new.yaml"), "-r", recipient)).stderr).toContain(
      "only Secrets",
    );
  });
});
