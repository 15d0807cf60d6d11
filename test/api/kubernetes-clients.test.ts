import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { text } from "node:stream/consumers";
import { CoreV1Api, Exec, KubeConfig, Log, Watch } from "@kubernetes/client-node";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { KUBECTL } from "../support/kubectl.ts";
import { FakeSession, type Served, serve, until } from "./fake-backend.ts";

/** What Kubernetes' own clients make of the API. They can't speak to a unix socket, so a loopback port stands before it. */
let served: Served;
let proxy: Server;
let home: string;
const sockets = new Set<Socket>();
const config = new KubeConfig();
beforeAll(async () => {
  proxy = createServer((socket) => {
    const inner = connect(served.socketPath);
    for (const end of [socket, inner]) {
      sockets.add(end);
      end.on("error", () => {});
      end.on("close", () => {
        sockets.delete(end);
        socket.destroy();
        inner.destroy();
      });
    }
    socket.pipe(inner).pipe(socket);
  });
  await new Promise<void>((resolve) => proxy.listen(0, "127.0.0.1", resolve));
  const { port } = proxy.address() as AddressInfo;
  config.loadFromClusterAndUser(
    { name: "gantry", server: `http://127.0.0.1:${port}`, skipTLSVerify: true },
    { name: "root" },
  );
  home = await mkdtemp(join(tmpdir(), "gantry-kubectl-"));
});
afterAll(async () => {
  await new Promise((resolve) => proxy.close(resolve));
  await rm(home, { recursive: true });
});
beforeEach(async () => {
  served = await serve();
  served.backend.put("web", { app: "web" });
});
afterEach(async () => {
  await served.close();
  for (const socket of sockets) socket.destroy();
});

describe("@kubernetes/client-node", () => {
  test("lists, gets, deletes", async () => {
    const api = config.makeApiClient(CoreV1Api);
    const list = await api.listPodForAllNamespaces({ labelSelector: "app=web" });
    expect(list.items.map(({ metadata }) => metadata?.name)).toEqual(["web"]);
    const pod = await api.readNamespacedPod({ namespace: "default", name: "web" });
    expect(pod.status?.phase).toBe("Running");
    await expect(api.readNamespacedPod({ namespace: "default", name: "none" })).rejects.toMatchObject({ code: 404 });
    const name = { namespace: "default", name: "web" };
    await api.deleteNamespacedPod({ ...name, gracePeriodSeconds: 3, body: { propagationPolicy: "Foreground" } });
    expect(served.backend.calls).toEqual(["delete default/web 3000"]);
    expect((await api.listNode()).items).toHaveLength(1);
  });

  test("watches", async () => {
    const seen: string[] = [];
    let ended = false;
    const note = (type: string, pod: { metadata: { name: string } }) => seen.push(`${type} ${pod.metadata.name}`);
    const end = () => {
      ended = true;
    };
    const watch = await new Watch(config).watch("/api/v1/pods", {}, note, end);
    await until(() => seen.length === 1, "the first pod");
    served.backend.put("db");
    served.backend.remove("web");
    await until(() => seen.length === 3, "the changes");
    expect(seen).toEqual(["ADDED web", "ADDED db", "DELETED web"]);
    watch.abort();
    await until(() => ended, "the end");
  });

  test("reads logs", async () => {
    served.backend.logPath = join(served.directory, "0.log");
    await writeFile(served.backend.logPath, "2026-01-01T00:00:00Z stdout F one\n2026-01-01T00:00:01Z stdout F two\n");
    const out = new PassThrough();
    await new Log(config).log("default", "web", "app", out, { tailLines: 1 });
    expect(await text(out)).toBe("two\n");
  });

  test("runs commands", async () => {
    const session = new FakeSession();
    served.backend.session = async () => session;
    session.stdin.pipe(session.stdout);
    const [stdin, stdout, stderr] = [new PassThrough(), new PassThrough(), new PassThrough()];
    const ended = new Promise<unknown>((resolve, reject) => {
      new Exec(config).exec("default", "web", "app", ["cat", "-"], stdout, stderr, stdin, false, resolve).catch(reject);
    });
    const output = text(stdout);
    stdin.end(Buffer.from("hello"));
    session.stdin.on("end", () => session.end(7));
    expect(await ended).toMatchObject({
      status: "Failure",
      details: { causes: [{ reason: "ExitCode", message: "7" }] },
    });
    expect(await output).toBe("hello");
  });
});

const isHere = existsSync(KUBECTL);
describe.skipIf(!isHere)(isHere ? "kubectl" : "kubectl (there is none on this machine)", () => {
  const kubectl = (...args: string[]): Promise<{ code: number; out: string; err: string }> =>
    new Promise((resolve) => {
      const server = config.getCurrentCluster()?.server ?? "";
      const env = { HOME: home, PATH: "/usr/bin:/bin" };
      execFile(KUBECTL, ["--server", server, ...args], { env, timeout: 30_000 }, (error, out, err) => {
        resolve({ code: typeof error?.code === "number" ? error.code : error === null ? 0 : -1, out, err });
      });
    });

  test("get, with discovery", async () => {
    const { out, err } = await kubectl("get", "pods", "-A", "-o", "name");
    expect(`${out}${err}`).toBe("pod/web\n");
    expect((await kubectl("get", "po", "web", "-o", "jsonpath={.status.phase}")).out).toBe("Running");
    const none = await kubectl("get", "pod", "none");
    expect([none.code, none.err]).toEqual([1, expect.stringContaining("NotFound")]);
    expect((await kubectl("version")).out).toMatch(/Server Version: v1\./);
    expect((await kubectl("get", "secrets,cm,nodes", "-o", "name")).out).toBe(
      "secret/key\nconfigmap/settings\nnode/host\n",
    );
  });

  test.each([
    [["configmap", "Not_A_Name"], 'failed to create configmap: metadata.name: "Not_A_Name" must consist of'],
    [["-f", "FILE", "--validate=false"], 'The ConfigMap "Not_A_Name" is invalid: metadata.name: "Not_A_Name" must'],
    [["namespace", "Not_A_Name"], 'The Namespace "Not_A_Name" is invalid: metadata.name: "Not_A_Name" must'],
  ])("says why %j is invalid, once", async (args, message) => {
    const file = join(home, "invalid.json");
    await writeFile(file, JSON.stringify({ apiVersion: "v1", kind: "ConfigMap", metadata: { name: "Not_A_Name" } }));
    const { code, err } = await kubectl("create", ...args.map((arg) => (arg === "FILE" ? file : arg)));
    expect([code, err]).toEqual([1, expect.stringContaining(message)]);
    const lines = err.split("\n").filter((line) => line !== "");
    expect(lines.length).toBe(new Set(lines).size);
    expect(err).not.toMatch(/Nothing was changed|: : /);
  });

  test("top", async () => {
    const pods = await kubectl("top", "pods");
    expect([pods.out.split("\n")[1]?.split(/ +/), pods.err]).toEqual([["web", "250m", "64Mi", ""], ""]);
    expect((await kubectl("top", "pod", "web", "--containers", "--no-headers")).out).toMatch(/^web +app +250m +64Mi/);
    expect((await kubectl("top", "pods", "-A", "-l", "app=none")).err).toMatch(/No resources found/);
    expect((await kubectl("top", "pod", "none")).err).toMatch(/NotFound/);
    expect((await kubectl("get", "podmetrics,nodemetrics", "-o", "name")).out).toBe(
      "podmetrics.metrics.k8s.io/web\nnodemetrics.metrics.k8s.io/host\n",
    );
  });

  test("logs, attach, exec, delete", async () => {
    served.backend.logPath = join(served.directory, "0.log");
    await writeFile(served.backend.logPath, "2026-01-01T00:00:00Z stdout F one\n");
    expect((await kubectl("logs", "web")).out).toBe("one\n");
    const app = new FakeSession();
    served.backend.session = async () => app;
    app.stdout.write("the app itself\n");
    app.end(0);
    expect((await kubectl("attach", "web")).out).toContain("the app itself\n");
    const session = new FakeSession();
    served.backend.session = async () => session;
    session.stdout.write("from inside\n");
    session.end(9);
    const ran = await kubectl("exec", "web", "--", "ls", "-l");
    expect([ran.code, ran.out]).toEqual([9, "from inside\n"]);
    expect(served.backend.calls.at(-1)).toMatch(/^exec default\/web app \{"command":\["ls","-l"\]/);
    expect((await kubectl("delete", "pod", "web", "--wait=false", "--grace-period=4")).out).toContain("deleted");
    expect(served.backend.calls.at(-1)).toBe("delete default/web 4000");
  });
});
