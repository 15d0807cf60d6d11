import { execFile } from "node:child_process";
import { mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { CoreV1Api, Exec, KubeConfig, Watch } from "@kubernetes/client-node";
import { afterAll, beforeAll, expect, test } from "vitest";
import { podOf } from "./harness/sketch.ts";
import { eventually, freePort, startCli, type TestHost, testHost } from "./harness.ts";

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
  const app = "httpd -p 127.0.0.1:8080 -h /www; trap exit TERM; sleep infinity & wait";
  host.write("web.yaml", podOf("web", [{ name: "app", command: ["sh", "-c", app] }]));
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

test("gantry cp and port-forward reach a pod of another machine", async () => {
  const elsewhere = { env: { ...env(), GANTRY_ROOT: join(host.directory, "nothing") } };
  const context = (await kubectl("config", "current-context")).stdout.trim();
  const remote = (...args: readonly string[]) => host.gantryWith(elsewhere, "--context", context, ...args);
  const inPod = async (script: string) => (await remote("exec", "web", "--", "sh", "-c", script)).stdout;
  const local = join(host.directory, "copies");
  mkdirSync(join(local, "site", "sub"), { recursive: true });
  writeFileSync(join(local, "site", "sub", "page"), "x".repeat(300_000));
  writeFileSync(join(local, "site", "run.sh"), "#!/bin/sh\n", { mode: 0o755 });

  // In: into a directory that is there, under another name, what is in a directory.
  expect(await remote("cp", join(local, "site"), "web:/tmp")).toMatchObject({ code: 0, stderr: "" });
  expect(await remote("cp", join(local, "site", "run.sh"), "default/web:/tmp/other")).toMatchObject({ code: 0 });
  expect(await remote("cp", `${join(local, "site")}/.`, "web:/www")).toMatchObject({ code: 0 });
  expect(await inPod("wc -c < /tmp/site/sub/page; stat -c '%a %u' /tmp/other; ls /www/sub")).toBe(
    "300000\n755 0\npage\n",
  );

  // Out: the same, and no link that leads elsewhere.
  await inPod("cd /tmp/site && ln -s sub/page fine && ln -s /etc/passwd bad");
  const out = await remote("cp", "web:/tmp/site", local);
  expect(out).toMatchObject({ code: 1, stderr: expect.stringContaining("bad -> /etc/passwd: a link that leads out") });
  const back = join(local, "back");
  expect(await remote("cp", "web:/tmp/site/sub/page", back)).toMatchObject({ code: 0 });
  expect(statSync(back).size).toBe(300_000);
  for (const [args, code, message] of [
    [["web:/nothing", "."], 3, "/nothing"],
    [["/nothing", "web:/tmp"], 3, "there is no /nothing"],
    [[back, "web:/no/where/"], 3, "mkdir -p /no/where/"],
    [["web:/etc/hosts", join(local, "no", "where")], 3, "there is no directory"],
    [["web:/a", "web:/b"], 2, "both of the two are in pods"],
    [["wep:/a", "."], 3, "Did you mean 'web'?"],
  ] as const) {
    const refused = await remote("cp", ...args);
    expect([args, refused.code, refused.stderr]).toEqual([args, code, expect.stringContaining(message)]);
  }

  const forwarding = startCli(["--context", context, "port-forward", "web", ":8080", ":81"], elsewhere);
  const ended = new Promise((resolve) => forwarding.on("close", resolve));
  let said = "";
  for (const stream of [forwarding.stdout, forwarding.stderr])
    stream?.on("data", (chunk: Buffer) => {
      said += chunk;
    });
  await eventually(() => / -> 81\n/.test(said), { what: "the ports", explain: () => said });
  const urls = [...said.matchAll(/127\.0\.0\.1:\d+/g)].map(([at]) => `http://${at}/sub/page`);
  const pages = await Promise.all([1, 2, 3].map(async () => (await fetch(urls[0] ?? "")).text()));
  expect(pages.map(({ length }) => length)).toEqual([300_000, 300_000, 300_000]);
  await expect(fetch(urls[1] ?? "")).rejects.toThrow();
  await eventually(() => said.includes("nothing listens on TCP port 81"), { what: "why", explain: () => said });
  forwarding.kill("SIGINT");
  expect(await ended).toBe(0);
  const taken = await remote("port-forward", "web", `${port}:8080`, "--address", "127.0.0.1");
  expect(taken).toMatchObject({ code: 1, stderr: expect.stringContaining(`127.0.0.1:${port} is taken`) });
  const named = await remote("port-forward", "web", "http");
  expect(named).toMatchObject({ code: 3, stderr: expect.stringContaining("no TCP port called 'http'") });
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
