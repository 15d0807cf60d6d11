import { rmSync } from "node:fs";
import { afterAll, beforeAll, expect, test } from "vitest";
import { AUTO_UPDATE_ANNOTATION, DEADLINE_ANNOTATION } from "../../src/update/index.ts";
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
import { eventually, type Fields, type PodView, podText, type TestHost, testHost } from "./harness.ts";

/** Who may run, who is kept up to date and what is thrown away: as a user sees it, with real keys and a real registry. */
let lab: Lab;
let alice: GpgKey;
let mallory: GpgKey;
let cosign: SigstoreKeyPair;
let host: TestHost;

beforeAll(async () => {
  lab = await startLab();
  alice = await makeGpgKey(lab.dir, "Alice <alice@example.com>");
  mallory = await makeGpgKey(lab.dir, "Mallory <mallory@example.com>");
  cosign = makeSigstoreKey(lab.dir, "cosign.pub");
  await lab.push("team/app:1", { signBy: alice });
  await lab.push("team/unsigned:1");
  const digest = await lab.push("cosigned/app:1");
  await signSigstore(lab, "cosigned/app", digest, cosign, `${lab.host}/cosigned/app`);
  host = testHost({ withImages: false });
  insecureRegistry(host.paths.etc, lab.host);
});
afterAll(async () => {
  await host.dispose();
  for (const key of [alice, mallory]) await removeGpgKey(key);
  await lab.dispose();
  rmSync(lab.dir, { recursive: true, force: true });
});

const QUICK = {
  GANTRY_UPDATE_INTERVAL_SECONDS: "5",
  GANTRY_UPDATE_SETTLE_SECONDS: "1",
  GANTRY_GC_MIN_AGE_SECONDS: "0",
  GANTRY_TRUST_DEFAULT: "reject",
};
const pod = (name: string, image: string, fields: Fields = {}, metadata: Fields = {}): string =>
  podText(
    name,
    [{ name: "app", image: `${lab.host}/${image}`, command: ["/bin/sleep", "infinity"], ...fields }],
    { terminationGracePeriodSeconds: 0 },
    metadata,
  );
const waiting = ({ status }: PodView) => status.containerStatuses[0]?.state.waiting;
const refused = (name: string): Promise<PodView> =>
  host.waitFor(name, (one) => /SignatureValidationFailed|ImagePullBackOff/.test(waiting(one)?.reason ?? ""), "refused");
const ok = async (...args: readonly string[]): Promise<string> => {
  const { code, stdout, stderr } = await host.gantry(...args);
  expect([code, code === 0 ? "" : stderr]).toEqual([0, ""]);
  return stdout;
};

test("only what the right key has signed runs; a pod that waits runs as soon as the policy lets it", async () => {
  await host.startDaemon({ env: QUICK });
  const prefix = `${lab.host}/team`;
  expect(await ok("trust", "add", "--prefix", prefix, "--gpg", mallory.file, "--lookaside", lab.lookaside)).toMatch(
    /^trust\/127\.0\.0\.1:\d+\/team added: signed by Mallory <mallory@example\.com> \(GPG [0-9A-F]{16}\)\n$/,
  );
  host.write("app.yaml", pod("app", "team/app:1"));
  const seen = await refused("app");
  expect(waiting(seen)?.message).toMatch(
    /team\/app:1 is not trusted: .*\(the rule for 127\.0\.0\.1:\d+\/team in .*policy\.json, which asks for a signature by Mallory/,
  );
  expect((await host.gantry("status")).stdout).toMatch(/Can't go on:\n.*app: .*not trusted/);

  await ok("trust", "add", "--prefix", prefix, "--gpg", alice.file, "--lookaside", lab.lookaside, "--replace");
  await host.waitReady("app");
  expect(await ok("status", "-o", "wide")).toMatch(/SIGNED BY.*\n.*Alice <alice@example\.com> \(GPG/);
  expect(await ok("describe", "app")).toMatch(/Signed By: +Alice <alice@example\.com>/);
  expect(await ok("image", "ls")).toMatch(/team\/app:1 .*Alice <alice@example\.com>/);
  expect(await ok("events")).toContain("TrustPolicyChanged");

  host.write("unsigned.yaml", pod("unsigned", "team/unsigned:1"));
  expect(waiting(await refused("unsigned"))?.message).toContain("A signature was required, but no signature exists");
  const pulled = await host.gantry("image", "pull", `${lab.host}/team/unsigned:1`);
  expect([pulled.code, pulled.stderr]).toEqual([
    1,
    expect.stringMatching(/error: .*not trusted.*\n.*hint: Have it signed/s),
  ]);
  host.remove("unsigned.yaml");
});

test("an image that is held under another policy does not start again, and what runs goes on", async () => {
  await ok("trust", "add", "--prefix", `${lab.host}/team/app`, "--reject");
  const started = async (): Promise<unknown> => (await host.pods())[0]?.status.containerStatuses[0]?.state.running;
  const before = await started();
  expect((await host.api("POST", "/apis/gantry.dev/v1/namespaces/default/pods/app/restart")).status).toBe(200);
  await eventually(async () => (await host.gantry("events")).stdout.includes("rejects every image"), {
    what: "the refusal",
  });
  // There is nothing to put in its place.
  expect(await started()).toEqual(before);
  host.write("again.yaml", pod("again", "team/app:1"));
  expect(waiting(await refused("again"))?.message).toContain("its rule rejects every image");
  await ok("trust", "rm", "--prefix", `${lab.host}/team/app`);
  await host.waitReady("again");
  host.remove("again.yaml");
  await host.waitGone("again");
});

test("sigstore, and deny by default", async () => {
  host.write("co.yaml", pod("co", "cosigned/app:1"));
  expect(waiting(await refused("co"))?.message).toMatch(
    /its rule rejects every image \(the default in the setting trust\.default\)/,
  );
  await ok("trust", "add", "--prefix", `${lab.host}/cosigned`, "--sigstore", cosign.file);
  await host.waitReady("co");
  expect(await ok("trust", "ls")).toMatch(/cosigned +sigstore +.*cosign\.pub \(sigstore [0-9a-f]{16}\)/);
  host.remove("co.yaml");
  await host.waitGone("co");
});

test("a pod follows its tag, and comes back from an image that does not become ready", async () => {
  await ok("trust", "add", "--prefix", `${lab.host}/web`, "--accept");
  await lab.push("web:1", { word: "first" });
  const command = ["/bin/sh", "-c", "test -e /word && exec sleep infinity"];
  const metadata = { annotations: { [AUTO_UPDATE_ANNOTATION]: "registry", [DEADLINE_ANNOTATION]: "3" } };
  host.write("web.yaml", pod("web", "web:1", { command, imagePullPolicy: "IfNotPresent" }, metadata));
  const digestOf = (one: PodView | undefined): string | undefined => one?.status.containerStatuses[0]?.imageID;
  const first = digestOf(await host.waitReady("web"));
  await lab.push("web:1", { word: "second" });
  const second = digestOf(
    await host.waitFor(
      "web",
      (one) => digestOf(one) !== first && one.status.containerStatuses[0]?.ready === true,
      "updated",
      60_000,
    ),
  );
  await eventually(async () => (await host.gantry("events")).stdout.includes("AutoUpdated"), { what: "the update" });

  await lab.push("web:1", { word: "", broken: true });
  await eventually(async () => (await host.gantry("events")).stdout.includes("AutoUpdateRolledBack"), {
    what: "the roll-back",
    deadlineMs: 60_000,
    explain: () => host.explain(),
  });
  await host.waitFor(
    "web",
    (one) => digestOf(one) === second && one.status.containerStatuses[0]?.ready === true,
    "rolled back",
    60_000,
  );
  expect(await ok("status")).toMatch(/Updates:\n +web: container app: .*web:1 was rolled back to [0-9a-f]{12}/);
  expect(await ok("describe", "web")).toMatch(/Auto-Update: +container app: .*did not become ready within 3 s/);

  // Neither the image before nor the one that failed may go; the one before those may.
  const garbage = await ok("image", "gc", "--dry-run", "-o", "json");
  expect(garbage).toContain(first);
  expect(garbage).not.toContain(second);
  await ok("image", "gc");
  expect(await ok("image", "ls", "-o", "json")).not.toContain(first);
  expect(await ok("events")).toContain("ImagesRemoved");
  expect((await host.pods()).find(({ metadata: { name } }) => name === "web")?.status.containerStatuses[0]?.ready).toBe(
    true,
  );
});

test("what is no annotation of ours is refused", async () => {
  host.write("bad.yaml", pod("bad", "web:1", {}, { annotations: { [AUTO_UPDATE_ANNOTATION]: "yes" } }));
  await eventually(
    async () => (await host.gantry("status")).stdout.includes('must be registry or disabled, not "yes"'),
    { what: "the problem" },
  );
  host.remove("bad.yaml");
});
