import { execFile } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { type TestHost, testHost } from "./harness.ts";

const KUBECTL = "/usr/bin/kubectl";

interface Result {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** kubectl can't speak to a unix socket: a loopback port stands before it. */
async function kubectlFor(host: TestHost) {
  const sockets = new Set<Socket>();
  const proxy = createServer((outer) => {
    const inner = connect(host.paths.socket);
    for (const end of [outer, inner]) {
      sockets.add(end);
      end.on("error", () => {});
      end.on("close", () => {
        sockets.delete(end);
        outer.destroy();
        inner.destroy();
      });
    }
    outer.pipe(inner).pipe(outer);
  });
  await new Promise<void>((resolve) => proxy.listen(0, "127.0.0.1", resolve));
  const server = `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`;
  const home = mkdtempSync(join(tmpdir(), "gantry-kubectl-"));
  const run = (args: readonly string[], env: Record<string, string> = {}): Promise<Result> =>
    new Promise((resolve) => {
      const all = { HOME: home, PATH: "/usr/bin:/bin", ...env };
      execFile(KUBECTL, ["--server", server, ...args], { env: all, timeout: 60_000 }, (error, out, err) => {
        resolve({ code: typeof error?.code === "number" ? error.code : error === null ? 0 : -1, out, err });
      });
    });
  const close = async (): Promise<void> => {
    for (const socket of sockets) socket.destroy();
    await new Promise((resolve) => proxy.close(resolve));
    rmSync(home, { recursive: true });
  };
  return { run, home, [Symbol.asyncDispose]: close };
}

const WEB = `# my web server
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
spec:
  replicas: 1 # enough
  selector:
    matchLabels: { app: web }
  template:
    metadata:
      labels: { app: web }
    spec:
      terminationGracePeriodSeconds: 0
      containers:
        - name: app
          image: localhost/gantry/sample:1
          imagePullPolicy: IfNotPresent
          command: [sh, -c, "sleep 100000"]
`;

test.skipIf(!existsSync(KUBECTL))("kubectl reads and writes a live daemon", async () => {
  await using host = testHost();
  await host.startDaemon();
  await using kubectl = await kubectlFor(host);
  const ok = async (line: string, env: Record<string, string> = {}): Promise<string> => {
    const result = await kubectl.run(line.split(" "), env);
    if (result.code !== 0) throw new Error(`kubectl ${line}: ${result.code}\n${result.out}${result.err}`);
    return result.out;
  };
  const file = join(host.manifests, "web.yaml");
  host.write("web.yaml", WEB);
  await ok("wait deployment/web --for=create --timeout=30s");
  expect(await ok("rollout status deployment/web --timeout=60s")).toContain("successfully rolled out");
  expect(await ok("get deploy")).toMatch(/^NAME +READY +UP-TO-DATE +AVAILABLE +AGE\nweb +1\/1 +1 +1 +/);
  expect(await ok("get pods -o wide")).toMatch(/NAME +READY +STATUS +RESTARTS +AGE +IP +NODE +NOMINATED NODE/);
  expect(await ok("get pods -A -l app=web -o custom-columns=N:.metadata.namespace,P:.status.phase")).toMatch(
    /default +Running/,
  );

  // A change keeps the comments of the file.
  expect(await ok("scale deployment/web --replicas=2")).toContain("scaled");
  expect(await ok("label deployment web tier=front")).toContain("labeled");
  expect(await ok("annotate deployment web note=hello")).toContain("annotated");
  expect(await ok("set env deployment/web GREETING=hi")).toContain("updated");
  const text = readFileSync(file, "utf8");
  expect(text).toContain("# my web server");
  expect(text).toMatch(/replicas: 2 # enough/);
  expect(text).toMatch(/tier: front/);
  expect(text).toMatch(/name: GREETING\n +value: hi/);
  expect(text).not.toMatch(/uid|status|resourceVersion|dnsPolicy/);
  await ok("rollout status deployment/web --timeout=60s");
  expect(await ok("rollout history deployment/web")).toMatch(/REVISION[\s\S]*1[\s\S]*2/);
  await ok("rollout undo deployment/web");
  expect(readFileSync(file, "utf8")).not.toContain("GREETING");
  await ok("rollout pause deployment/web");
  await ok("rollout resume deployment/web");
  await ok("rollout restart deployment/web");
  expect(readFileSync(file, "utf8")).toContain("kubectl.kubernetes.io/restartedAt");
  const patch = '{"spec":{"template":{"spec":{"containers":[{"name":"app","workingDir":"/tmp"}]}}}}';
  await ok(`patch deployment web -p ${patch}`);
  await ok(`patch deployment web --type=json -p [{"op":"replace","path":"/spec/replicas","value":1}]`);
  await ok(`patch deployment web --type=merge -p {"metadata":{"labels":{"tier":null}}}`);
  expect(readFileSync(file, "utf8")).toMatch(/replicas: 1 # enough/);

  // Objects that a client makes get files of their own.
  const fresh = join(kubectl.home, "fresh.yaml");
  writeFileSync(
    fresh,
    `apiVersion: v1
kind: ConfigMap
metadata: { name: settings }
data: { a: "1" }
---
apiVersion: v1
kind: Secret
metadata: { name: key }
stringData: { password: secret }
`,
  );
  await ok(`create -f ${fresh}`);
  expect(readdirSync(host.manifests).sort()).toEqual([
    "configmap-default-settings.yaml",
    "secret-default-key.yaml",
    "web.yaml",
  ]);
  const editor = join(kubectl.home, "editor.sh");
  writeFileSync(editor, "#!/bin/sh\nsed -i 's/^  a: .*/  a: two/' \"$1\"\n", { mode: 0o755 });
  await ok("edit configmap settings", { EDITOR: editor });
  expect(await ok("get configmap settings -o jsonpath={.data.a}")).toBe("two");

  // apply, diff, dry run
  const mine = join(kubectl.home, "cm.yaml");
  const configMap = (value: string): string =>
    `apiVersion: v1\nkind: ConfigMap\nmetadata: {name: applied}\ndata: {a: "${value}"}\n`;
  writeFileSync(mine, configMap("1"));
  expect(await ok(`apply -f ${mine} --dry-run=server`)).toContain("created (server dry run)");
  expect(await ok(`apply -f ${mine}`)).toContain("created");
  expect(await ok(`apply -f ${mine}`)).toContain("unchanged");
  writeFileSync(mine, configMap("2"));
  expect((await kubectl.run(["diff", "-f", mine])).code).toBe(1);
  expect(await ok(`apply -f ${mine}`)).toContain("configured");
  expect((await kubectl.run(["diff", "-f", mine])).code).toBe(0);
  expect(await ok(`apply --server-side -f ${mine} --force-conflicts`)).toContain("serverside-applied");
  writeFileSync(mine, `${configMap("2")}unknown: true\n`);
  const refused = await kubectl.run(["apply", "-f", mine]);
  expect([refused.code, refused.err]).toEqual([1, expect.stringContaining("unknown")]);

  // A pod by itself
  await ok("run solo --image=localhost/gantry/sample:1 --image-pull-policy=IfNotPresent --restart=Never -- sleep 1000");
  await ok("wait pod/solo --for=condition=Ready --timeout=60s");
  const described = await ok("describe pod solo");
  expect(described).toMatch(/Status: +Running/);
  expect(described).toMatch(/Events:[\s\S]*Started/);
  expect(await ok("events --for pod/solo")).toContain("Started");
  expect(await ok("describe node")).toMatch(/Non-terminated Pods:[\s\S]*solo/);
  expect(await ok("top pod solo --no-headers")).toMatch(/solo/);
  expect(await ok("delete pod solo --grace-period=0 --force --wait=true")).toContain("force deleted");
  expect((await kubectl.run(["get", "pod", "solo"])).err).toContain("NotFound");

  expect(await ok("explain pod.spec.containers")).toMatch(/FIELDS:[\s\S]*image/);
  expect(await ok("api-resources")).toMatch(/deployments +deploy +apps\/v1 +true +Deployment/);
  expect(await ok("cluster-info")).toContain("is running at");
  expect(await ok("version")).toMatch(/Server Version: v1\./);
  expect(await ok("get namespaces -o name")).toBe("namespace/default\n");

  expect(await ok("delete deployment/web configmap/applied configmap/settings secret/key --wait=true")).toContain(
    'deployment.apps "web" deleted',
  );
  expect(readdirSync(host.manifests)).toEqual([]);
});
