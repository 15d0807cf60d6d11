import { execFile } from "node:child_process";
import { mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { CoreV1Api, Exec, KubeConfig, Watch } from "@kubernetes/client-node";
import { afterAll, beforeAll, expect, test } from "vitest";
import { podText } from "./harness/sketch.ts";
import { eventually, freePort, type TestHost, testHost } from "./harness.ts";

/** The API over TLS, as unmodified clients and the command line on another machine see it. */
let host: TestHost;
let kubeconfig: string;
let port: number;
beforeAll(async () => {
  host = testHost({});
  kubeconfig = join(host.directory, "home", ".kube", "config");
  port = await freePort();
  mkdirSync(host.paths.etc, { recursive: true });
  writeFileSync(host.paths.configFile, `api: { listen: "127.0.0.1:${port}" }\n`);
  await host.startDaemon();
  host.write("web.yaml", podText("web"));
  await host.waitReady("web");
});
afterAll(() => host.dispose());

const env = () => ({ KUBECONFIG: kubeconfig, HOME: join(host.directory, "home") });

function kubectl(...args: readonly string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  return new Promise((resolve) => {
    execFile("kubectl", args, { env: { ...process.env, ...env() }, timeout: 30_000 }, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : Number(error.code ?? 1), stdout, stderr });
    });
  });
}

test("gantry kubeconfig --write keeps what is there, and once is enough", async () => {
  mkdirSync(join(host.directory, "home", ".kube"), { recursive: true });
  writeFileSync(kubeconfig, "# mine\napiVersion: v1\nkind: Config\nclusters: []\ncurrent-context: old\n", {
    mode: 0o644,
  });
  const first = await host.gantryWith({ env: env() }, "kubeconfig", "--write");
  expect(first.stderr).toContain("Back to the former: kubectl config use-context old");
  expect(readFileSync(kubeconfig, "utf8")).toMatch(/^# mine\n/);
  expect(statSync(kubeconfig).mode & 0o777).toBe(0o600);
  expect((await host.gantryWith({ env: env() }, "kubeconfig", "--write")).stderr).toContain("has it already");
  expect((await host.gantry("kubeconfig", "ls")).stdout).toMatch(/^admin +admin +certificate/m);
});

test("kubectl gets, watches, runs commands; --read-only may look", async () => {
  const names = await kubectl("get", "pods", "-o", "name");
  expect(names).toMatchObject({ code: 0, stdout: "pod/web\n" });
  expect((await kubectl("exec", "web", "--", "echo", "hello")).stdout).toBe("hello\n");
  expect((await kubectl("get", "--raw", "/readyz")).stdout).toBe("ok");
  const metrics = (await kubectl("get", "--raw", "/metrics/cadvisor")).stdout;
  expect(metrics).toMatch(/container_memory_working_set_bytes\{namespace="default",pod="web",container="app"/);
  const view = join(host.directory, "view.yaml");
  writeFileSync(view, (await host.gantry("kubeconfig", "--read-only", "--token")).stdout);
  expect((await kubectl("--kubeconfig", view, "get", "pods", "-o", "name")).stdout).toBe("pod/web\n");
  const refused = await kubectl("--kubeconfig", view, "exec", "web", "--", "id");
  expect(refused.code).not.toBe(0);
  expect(refused.stderr).toContain("forbidden");
  expect((await kubectl("--kubeconfig", view, "delete", "pod", "web")).stderr).toContain("Forbidden");
});

test("@kubernetes/client-node lists, watches and runs commands", async () => {
  const config = new KubeConfig();
  config.loadFromFile(kubeconfig);
  const { items } = await config.makeApiClient(CoreV1Api).listNamespacedPod({ namespace: "default" });
  expect(items.map(({ metadata }) => metadata?.name)).toEqual(["web"]);
  let aborting: Promise<AbortController> | undefined;
  const seen = await new Promise<string>((resolve, reject) => {
    aborting = new Watch(config).watch("/api/v1/pods", {}, resolve, reject);
    aborting.catch(reject);
  });
  (await aborting)?.abort();
  expect(seen).toBe("ADDED");
  const status = await new Promise((resolve, reject) => {
    new Exec(config)
      .exec("default", "web", "app", ["true"], new PassThrough(), null, null, false, resolve)
      .catch(reject);
  });
  expect(status).toMatchObject({ status: "Success" });
});

test("gantry --context talks to it from elsewhere, and says what is wrong", async () => {
  const elsewhere = { env: { ...env(), GANTRY_ROOT: join(host.directory, "nothing") } };
  const context = (await kubectl("config", "current-context")).stdout.trim();
  const status = await host.gantryWith(elsewhere, "--context", context, "status", "-o", "json");
  expect(JSON.parse(status.stdout).items).toHaveLength(1);
  expect((await host.gantryWith(elsewhere, "--context", context, "exec", "web", "--", "sh", "-c", "exit 7")).code).toBe(
    7,
  );
  const server = `https://127.0.0.1:${port}`;
  expect((await host.gantryWith({ env: { ...elsewhere.env, GANTRY_HOST: server } }, "status")).stdout).toContain("web");
  const here = await host.gantryWith(elsewhere, "--host", server, "doctor");
  expect(here).toMatchObject({ code: 2, stderr: expect.stringContaining("about the host that it runs on") });
  const nobody = await host.gantryWith(elsewhere, "--context", context, "--host", "https://127.0.0.1:9", "status");
  expect(nobody).toMatchObject({ code: 4, stderr: expect.stringContaining("refuses the connection") });
});

test("gantry kubeconfig rm ends it at once; a taken port disturbs nothing", async () => {
  await host.gantry("kubeconfig", "rm", "admin");
  expect((await kubectl("get", "pods")).code).not.toBe(0);
  await host.stopDaemon();
  const taken = createServer();
  await new Promise<void>((resolve) => taken.listen(port, "127.0.0.1", resolve));
  await host.startDaemon();
  await host.waitReady("web");
  await eventually(async () => (await host.gantry("events")).stdout.includes("the port is taken"), {
    what: "the event about the port",
  });
  await new Promise((resolve) => taken.close(resolve));
});
