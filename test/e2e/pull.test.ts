import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { LyingProxy } from "../support/lying-proxy.ts";
import { dockerConfig, insecure, Registry } from "../support/registry.ts";
import { makeImages, manifestOf } from "../support/registry-images.ts";
import { eventually, type PodView, podText, type TestHost, testHost } from "./harness.ts";

/** Pods whose images come from a registry, as a user sees them: manifests, status, events, the command line. */
let work: string;
let layout: string;
let registry: Registry;
let locked: Registry;
let proxy: LyingProxy;
let host: TestHost;

beforeAll(async () => {
  work = mkdtempSync(join(tmpdir(), "pull-"));
  layout = makeImages(work);
  registry = await Registry.start(join(work, "registry"));
  for (const tag of ["one", "two", "big"]) registry.push(layout, tag, `app:${tag}`);
  locked = await Registry.start(join(work, "locked"), { tls: true, password: true, storage: registry.storage });
});
afterAll(async () => {
  await registry[Symbol.asyncDispose]();
  await locked[Symbol.asyncDispose]();
  rmSync(work, { recursive: true });
});
beforeEach(async () => {
  proxy = await LyingProxy.start(registry.host);
  host = testHost({ withImages: false });
  mkdirSync(host.paths.etc, { recursive: true });
  writeFileSync(join(host.paths.etc, "registries.conf"), insecure(proxy.host));
  locked.trustIn(host.paths.etc);
});
afterEach(async () => {
  proxy.release();
  await host.dispose();
  await proxy[Symbol.asyncDispose]();
});

const FOREVER = { command: ["/bin/sleep", "infinity"] };
const pod = (name: string, image: string, fields: object = {}, spec: object = {}): string =>
  podText(name, [{ name: "app", image, ...FOREVER, ...fields }], { terminationGracePeriodSeconds: 0, ...spec });
const waiting = ({ status }: PodView) => status.containerStatuses[0]?.state.waiting;
const events = async (): Promise<string> => (await host.gantry("events")).stdout;
const secretText = (name: string, config: string): string =>
  JSON.stringify({
    apiVersion: "v1",
    kind: "Secret",
    metadata: { name },
    type: "kubernetes.io/dockerconfigjson",
    stringData: { ".dockerconfigjson": config },
  });

/** Processes of skopeo that pull into this host's store. */
function pulling(): number {
  return readdirSync("/proc").filter((pid) => {
    try {
      return (
        /^\d+$/.test(pid) && readFileSync(`/proc/${pid}/cmdline`, "utf8").includes(`skopeo\0--policy\0${host.root}`)
      );
    } catch {
      return false;
    }
  }).length;
}

test("a pod with imagePullSecrets: it waits with the reason, and runs as soon as the Secret is there", async () => {
  await host.startDaemon();
  const image = `${locked.host}/app:one`;
  host.write("secret.yaml", secretText("wrong", dockerConfig(locked.host, "joe", "wrong")));
  host.write("web.yaml", pod("web", image, {}, { imagePullSecrets: [{ name: "wrong" }, { name: "login" }] }));
  const refused = await host.waitFor("web", (one) => waiting(one)?.reason === "ErrImagePull", "refused");
  expect(waiting(refused)?.message).toContain("wants a password");
  expect((await host.gantry("status")).stdout).toContain(`registry ${locked.host} wants a password for ${image}`);
  host.write("login.yaml", secretText("login", dockerConfig(locked.host)));
  await host.waitReady("web");
  const told = await events();
  expect(told).toContain('secret "login" of imagePullSecrets not found');
  expect(told).toContain(`Pulling image "${image}"`);
  expect(told).toMatch(new RegExp(`Successfully pulled image "${image}" in \\d+ms|in \\d+\\.\\d+s`));
});

test("while it is pulled status says how far it is; deleting the pod calls it off", async () => {
  await host.startDaemon();
  const noise = manifestOf(layout, "big").layers.at(-1) ?? "";
  proxy.lie = (path) => (path.endsWith(noise) ? { type: "stall", bytes: 1_500_000 } : undefined);
  host.write("big.yaml", pod("big", `${proxy.host}/app:big`));
  const seen = await host.waitFor("big", (one) => /2 of 3 layers/.test(waiting(one)?.message ?? ""), "progress");
  expect(waiting(seen)).toMatchObject({
    reason: "ContainerCreating",
    message: expect.stringMatching(/copying .* MiB of/),
  });
  expect((await host.gantry("status")).stdout).toMatch(/pulling image .*: copying/);
  expect(pulling()).toBe(1);
  host.remove("big.yaml");
  await host.waitGone("big");
  await eventually(() => pulling() === 0, { what: "the end of the pull" });
});

test("a daemon that is killed in the middle leaves no skopeo, and the next goes on with the layers that had come", async () => {
  await host.startDaemon();
  const { layers } = manifestOf(layout, "big");
  const [base = "", noise = ""] = [layers[0], layers.at(-1)];
  proxy.lie = (path) => (path.endsWith(noise) ? { type: "stall", bytes: 1_500_000 } : undefined);
  host.write("big.yaml", pod("big", `${proxy.host}/app:big`));
  await host.waitFor("big", (one) => /2 of 3 layers/.test(waiting(one)?.message ?? ""), "two layers");
  await host.stopDaemon("SIGKILL");
  await eventually(() => pulling() === 0, { what: "the end of skopeo" });
  proxy.release();
  await host.startDaemon();
  await host.waitReady("big");
  expect([proxy.fetched(base), proxy.fetched(noise)]).toEqual([1, 2]);
});

test("a tag that moves: a restart pulls it; a next version that can't be pulled leaves the old one running", async () => {
  await host.startDaemon();
  registry.push(layout, "one", "moving:latest");
  host.write("web.yaml", pod("web", `${proxy.host}/moving`));
  const before = await host.waitReady("web");
  registry.push(layout, "two", "moving:latest");
  expect((await host.gantry("restart", "web")).code).toBe(0);
  const after = await host.waitFor(
    "web",
    ({ status }) =>
      status.containerStatuses[0]?.state.running !== undefined &&
      status.containerStatuses[0]?.imageID !== before.status.containerStatuses[0]?.imageID,
    "another image",
  );
  host.write("web.yaml", pod("web", `${proxy.host}/app:none`));
  await eventually(async () => /Failed to pull image .*app:none/.test(await events()), { what: "the failed pull" });
  const [now] = await host.pods();
  expect(now?.status.containerStatuses[0]?.imageID).toBe(after.status.containerStatuses[0]?.imageID);
  host.write("web.yaml", pod("web", `${proxy.host}/app:one`));
  await host.waitFor(
    "web",
    ({ status }) => status.containerStatuses[0]?.imageID === before.status.containerStatuses[0]?.imageID,
    "the new version",
  );
});

test("by hand: pull, export, and a preload folder on a host without a registry", async () => {
  await host.startDaemon();
  const name = `${proxy.host}/app:two`;
  const pulled = await host.gantry("image", "pull", name);
  expect(pulled).toMatchObject({
    code: 0,
    stdout: expect.stringMatching(new RegExp(`^${name}  sha256:[0-9a-f]{64}  `)),
  });
  expect(pulled.stderr).toContain(`${name}: asking the registry`);
  const json: { origins: { name: string }[] } = JSON.parse(
    (await host.gantry("image", "pull", name, "-o", "json")).stdout,
  );
  expect(json.origins[0]?.name).toBe(name);
  const missing = await host.gantry("image", "pull", `${proxy.host}/app:none`, name);
  expect(missing).toMatchObject({ code: 3, stderr: expect.stringMatching(/has no image .*app:none/) });
  expect((await host.gantry("image", "pull", "Not A Name")).code).toBe(2);
  expect((await host.gantry("image", "verify")).stdout).toBe(`${name}  ok\n`);
  const file = join(work, "images.tar");
  expect((await host.gantry("image", "export", name, "-o", file)).stdout).toContain(file);
  expect(await host.gantry("image", "export", "none:1", "-o", `${file}.no`)).toMatchObject({ code: 3 });
  expect(existsSync(`${file}.no`)).toBe(false);

  await using offline = testHost({ withImages: false });
  const folder = join(offline.paths.lib, "preload");
  mkdirSync(folder, { recursive: true });
  cpSync(file, join(folder, "images.tar"));
  writeFileSync(join(folder, "broken.tar"), "no archive");
  await offline.startDaemon();
  offline.write("web.yaml", pod("web", name));
  await offline.waitReady("web");
  expect((await offline.gantry("events")).stdout).toMatch(/PreloadFailed.*broken\.tar/);
});
