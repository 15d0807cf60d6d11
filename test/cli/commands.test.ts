import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { Problem } from "../../src/manifest/index.ts";
import { GantryError } from "../../src/system/errors.ts";
import { type Served, serve } from "../api/fake-backend.ts";
import { CliBackend } from "./support/backend.ts";
import { cli, type Result } from "./support/run.ts";

let backend: CliBackend;
let served: Served;
let scratch: string;

beforeEach(async () => {
  backend = new CliBackend();
  served = await serve({ backend });
  scratch = await mkdtemp(join(tmpdir(), "gantry-cli-"));
});
afterEach(async () => {
  await served.close();
  await rm(scratch, { recursive: true, force: true });
});

const gantry = (...args: string[]): Promise<Result> => cli(["--root", served.directory, ...args]);

async function file(name: string, text: string): Promise<string> {
  const path = join(scratch, name);
  await mkdir(join(path, ".."), { recursive: true });
  await writeFile(path, text);
  return path;
}

const manifest = (name: string, more = ""): string =>
  `apiVersion: v1\nkind: Pod\nmetadata: {name: ${name}}\nspec:\n  containers: [{name: app, image: localhost/app:1${more}}]\n`;

const broken: Problem = {
  severity: "error",
  place: { file: "bad.yaml", line: 3, column: 5 },
  field: "spec.containers[0].imag",
  message: "unknown field 'imag'",
  hint: "did you mean 'image'?",
  object: "Pod default/bad",
};

describe("status", () => {
  test("one namespace: no NAMESPACE column", async () => {
    backend.set({ name: "web", ip: "10.0.0.2", restarts: 2 });
    backend.set({ name: "api", phase: "Pending" });
    const { code, stdout, stderr } = await gantry("status");
    expect([code, stderr]).toEqual([0, ""]);
    const [header, first, second, ...rest] = stdout.split("\n");
    expect(header?.split(/ {2,}/)).toEqual(["NAME", "READY", "STATUS", "RESTARTS", "AGE", "IP", "RUNTIME"]);
    expect(first).toMatch(/^api +0\/1 +ContainerCreating +0 +\S+ +<none> +namespace$/);
    expect(second).toMatch(/^web +1\/1 +Running +2 .*10\.0\.0\.2 +namespace$/);
    expect(rest).toEqual([""]);
  });

  test("several namespaces: sorted, with a column; -n narrows", async () => {
    backend.set({ name: "web", namespace: "shop" });
    backend.set({ name: "web" });
    const all = (await gantry("status")).stdout.split("\n");
    expect(all[0]).toMatch(/^NAMESPACE +NAME/);
    expect(all.slice(1, 3).map((line) => line.split(/ +/)[0])).toEqual(["default", "shop"]);
    const shop = (await gantry("status", "-n", "shop")).stdout.split("\n");
    expect(shop[0]).toMatch(/^NAME +READY/);
    expect(shop).toHaveLength(3);
  });

  test("broken manifests, held sources and warnings stand below", async () => {
    backend.set({ name: "web" });
    backend.report = { problems: [broken, { ...broken, severity: "warning" }], held: ["folder /m: is gone"] };
    const { code, stdout } = await gantry("status");
    expect(code).toBe(0);
    expect(stdout).toContain("\n\n1 manifest error");
    expect(stdout).toContain("bad.yaml:3:5: error: spec.containers[0].imag: unknown field 'imag'");
    expect(stdout).toContain("Held as it is:\n  folder /m: is gone");
    expect(stdout).toContain("1 warning");
  });

  test("nothing runs: says what to do", async () => {
    const { code, stdout, stderr } = await gantry("status");
    expect([code, stdout]).toEqual([0, ""]);
    expect(stderr).toBe("No pods. Put a manifest into /m, or run 'gantry apply -f FILE'.\n");
  });

  test("-o json is a v1 PodList, also of one pod; yaml says the same", async () => {
    backend.set({ name: "web" });
    backend.set({ name: "api" });
    const list = JSON.parse((await gantry("status", "-o", "json")).stdout);
    expect([list.apiVersion, list.kind, list.items.length]).toEqual(["v1", "PodList", 2]);
    const one = JSON.parse((await gantry("status", "web", "-o", "json")).stdout);
    expect([one.kind, one.items.length, one.items[0].metadata.name]).toEqual(["PodList", 1, "web"]);
    expect((await gantry("status", "-o", "yaml")).stdout).toMatch(/^apiVersion: v1\nkind: PodList\n/);
  });

  test("-o wide adds images and manifests", async () => {
    backend.set({ name: "web" });
    expect((await gantry("status", "-o", "wide")).stdout).toMatch(
      /IMAGES +SIGNED BY +MANIFEST\n.*localhost\/app:1 +<none> +web\.yaml:1\n$/,
    );
  });

  test("-o wide and describe say how the VM of a micro-VM pod came up, and why it runs as it does", async () => {
    const why = "software emulation: no vmx";
    const detail = { accelerator: "tcg", why, machine: "q35", boot: "clone, 62 ms", kernel: "6.1.0" };
    backend.set({ name: "vm", annotations: { "gantry.dev/sandbox": JSON.stringify(detail) } });
    backend.set({ name: "web" });
    const { stdout } = await gantry("status", "-o", "wide");
    expect(stdout).toMatch(/VM +KERNEL +IMAGES/);
    expect(stdout).toMatch(/^vm .* tcg, clone, 62 ms +6\.1\.0 /m);
    expect(stdout).toMatch(/^web .* <none> +<none> /m);
    expect(stdout).toContain("Micro-VMs:\n  tcg: software emulation: no vmx\n");
    expect((await gantry("status")).stdout).not.toContain("no vmx");
    const described = (await gantry("describe", "vm")).stdout;
    expect(described).toContain("accelerator tcg (software emulation: no vmx)");
    expect(described).toMatch(/boot clone, 62 ms\n +kernel 6\.1\.0/);
  });

  test.each([
    ["all ready", () => backend.set({ name: "web" }), 0],
    ["succeeded", () => backend.set({ name: "job", phase: "Succeeded" }), 0],
    ["not ready", () => backend.set({ name: "web", ready: false }), 1],
    ["failed", () => backend.set({ name: "job", phase: "Failed", exitCode: 1 }), 1],
    ["broken", () => (backend.report = { problems: [broken], held: [] }), 1],
    ["held", () => (backend.report = { problems: [], held: ["gone"] }), 1],
    [
      "only a warning",
      () => (backend.report = { problems: [{ ...broken, severity: "warning" as const }], held: [] }),
      0,
    ],
  ])("--exit-code when %s", async (_what, prepare, expected) => {
    prepare();
    expect((await gantry("status", "--exit-code")).code).toBe(expected);
  });

  test("a pod that is not there: nearest name, or the other namespace", async () => {
    backend.set({ name: "website" });
    backend.set({ name: "api", namespace: "shop" });
    expect(await gantry("status", "websit")).toMatchObject({
      code: 3,
      stderr: "error: there is no pod 'websit' in namespace 'default'\nhint: Did you mean 'website'?\n",
    });
    expect((await gantry("status", "api")).stderr).toContain("There is one in namespace 'shop': write shop/api.");
    expect((await gantry("status", "shop/api")).code).toBe(0);
  });
});

describe("describe", () => {
  test("everything people look for", async () => {
    backend.set({ name: "web", ip: "10.0.0.2", restarts: 1, spec: { volumes: [{ name: "data", emptyDir: {} }] } });
    backend.happen({ message: "Started container app" });
    backend.report = { problems: [{ ...broken, object: "Pod default/web", severity: "warning" }], held: [] };
    const { code, stdout } = await gantry("describe", "web");
    expect(code).toBe(0);
    for (const text of [
      /^Name: +web$/m,
      /^Manifest: +web\.yaml:1$/m,
      /^Runtime Class: +namespace$/m,
      /^Status: +Running$/m,
      /^IP: +10\.0\.0\.2$/m,
      /^Labels: +app=web$/m,
      /^Annotations: +<none>$/m,
      /^Containers:\n {2}app:$/m,
      /^ {4}Image: +localhost\/app:1$/m,
      /^ {4}State: +Running$/m,
      /^ {4}Restart Count: +1$/m,
      /^Conditions:\n {2}Type/m,
      /^Volumes:\n {2}data:\n {4}Type: +emptyDir/m,
      /^Events:\n {2}Type +Reason +Age +Message\n {2}Normal +Started/m,
      /^Manifest problems:\n {2}bad\.yaml:3:5: warning/m,
    ]) {
      expect(stdout).toMatch(text);
    }
    expect(stdout).not.toContain("undefined");
  });

  test("-o json has the pod, its events and its problems", async () => {
    backend.set({ name: "web" });
    backend.happen();
    const report = JSON.parse((await gantry("describe", "web", "-o", "json")).stdout);
    expect([report.pod.metadata.name, report.events.length, report.problems]).toEqual(["web", 1, []]);
  });
});

describe("events", () => {
  test("a table, oldest first; of one pod; by type", async () => {
    backend.set({ name: "web" });
    backend.happen({ message: "first" });
    backend.happen({ type: "Warning", reason: "BackOff", message: "second", count: 3 });
    backend.happen({ object: "Pod/default/api", message: "of another" });
    const { stdout } = await gantry("events");
    const lines = stdout.split("\n");
    expect(lines[0]).toMatch(/^LAST SEEN +TYPE +REASON +OBJECT +MESSAGE$/);
    expect(lines.map((line) => line.split(/ {2,}/).at(-1)).slice(1, 4)).toEqual(["first", "second", "of another"]);
    expect(lines[2]).toContain("(x3 over ");
    expect((await gantry("events", "web")).stdout).not.toContain("of another");
    expect((await gantry("events", "--types", "Warning")).stdout.split("\n")).toHaveLength(3);
    expect(JSON.parse((await gantry("events", "-o", "json")).stdout).items).toHaveLength(3);
  });

  test("of a pod that nobody knows", async () => {
    expect((await gantry("events", "nobody")).code).toBe(3);
    expect(await gantry("events")).toMatchObject({ code: 0, stderr: "No events.\n" });
  });
});

describe("logs", () => {
  test("the log, with kubectl's note when there is a choice", async () => {
    backend.logPath = await file("0.log", "2026-01-01T00:00:00Z stdout F hello\n");
    backend.set({ name: "web" });
    expect(await gantry("logs", "web")).toEqual({ code: 0, stdout: "hello\n", stderr: "" });
    backend.set({ name: "two", containers: ["app", "side"] });
    const two = await gantry("logs", "two", "--timestamps");
    expect(two.stderr).toBe('Defaulted container "app" out of: app, side\n');
    expect(two.stdout).toBe("2026-01-01T00:00:00Z hello\n");
    const annotations = { "kubectl.kubernetes.io/default-container": "side" };
    backend.set({ name: "three", containers: ["app", "side"], annotations });
    expect((await gantry("logs", "three")).stderr).toBe("");
    expect(backend.calls.at(-1)).toBe("log default/three side false");
  });

  test("a container that is not there", async () => {
    backend.set({ name: "web", containers: ["app", "side"] });
    expect(await gantry("logs", "web", "-c", "sid")).toMatchObject({
      code: 3,
      stderr: "error: pod default/web has no container 'sid'\nhint: Did you mean 'side'? It has: app, side.\n",
    });
  });
});

describe("restart and delete", () => {
  test("restart waits until the containers run anew; nothing happens when a name is wrong", async () => {
    const containers = ["app", "side"];
    let restarts = 0;
    backend.set({ name: "web", containers });
    backend.onRestart = () => {
      restarts += 1;
      setTimeout(() => backend.set({ name: "web", containers, restarts }), 50);
    };
    expect((await gantry("restart", "web")).stdout).toBe("pod/web restarted\n");
    expect((await gantry("restart", "web", "-c", "side")).stdout).toBe("pod/web container side restarted\n");
    expect(backend.calls).toEqual(["restart default/web -", "restart default/web side"]);
    expect((await gantry("restart", "web", "wbe")).code).toBe(3);
    expect((await gantry("restart", "web", "-c", "sid")).code).toBe(3);
    expect(backend.calls).toHaveLength(2);
  });

  test("restart --no-wait comes back at once; --timeout gives up", async () => {
    backend.set({ name: "web" });
    expect((await gantry("restart", "web", "--no-wait")).stdout).toBe("pod/web restarting\n");
    const late = await gantry("restart", "web", "--timeout", "50ms");
    expect(late.code).toBe(1);
    expect(late.stderr).toContain("not restarted after 0.05s: pod default/web is Running");
  });

  test("delete waits until the pod is gone", async () => {
    backend.set({ name: "web" });
    backend.onDelete = () => setTimeout(() => backend.remove("web"), 50);
    expect(await gantry("delete", "web", "--grace-period", "5")).toEqual({
      code: 0,
      stdout: "pod/web deleted\n",
      stderr: "",
    });
    expect(backend.calls).toEqual(["delete default/web 5000"]);
    expect(backend.podList.size).toBe(0);
  });

  test("--no-wait does not; --timeout gives up", async () => {
    backend.set({ name: "web" });
    expect((await gantry("delete", "web", "--no-wait")).code).toBe(0);
    const late = await gantry("delete", "web", "--timeout", "50ms");
    expect(late.code).toBe(1);
    expect(late.stderr).toContain("not deleted after 0.05s: pod default/web is Running");
  });

  test("--all means one namespace, and says what stays", async () => {
    backend.set({ name: "web" });
    backend.set({ name: "api", namespace: "shop" });
    const { stdout, stderr } = await gantry("delete", "--all", "--no-wait");
    expect(stdout).toBe("pod/web deleted\n");
    expect(stderr).toBe("1 pod of other namespaces stay: -A deletes those too.\n");
    expect((await gantry("delete", "--all", "-A", "--no-wait")).stdout).toContain("pod/api deleted from shop");
  });

  test("-f takes the names out of manifests", async () => {
    backend.set({ name: "one" });
    backend.set({ name: "two" });
    const path = await file("pods.yaml", `${manifest("one")}---\n${manifest("two")}`);
    expect((await gantry("delete", "-f", path, "--no-wait")).stdout).toBe("pod/one deleted\npod/two deleted\n");
    const bad = await file("bad.yaml", "kind: Pod\n");
    expect((await gantry("delete", "-f", bad)).code).toBe(1);
  });
});

describe("wait", () => {
  test("for a pod that is yet to appear", async () => {
    const waiting = gantry("wait", "web", "--timeout", "20s");
    backend.set({ name: "web", phase: "Pending" });
    backend.set({ name: "web" });
    expect(await waiting).toEqual({ code: 0, stdout: "pod/web is ready\n", stderr: "" });
  });

  test("several, each told as it gets there", async () => {
    backend.set({ name: "a", restartPolicy: "Never" });
    backend.set({ name: "b", phase: "Succeeded", restartPolicy: "Never" });
    const waiting = gantry("wait", "a", "b", "--for", "succeeded", "--timeout", "20s");
    backend.set({ name: "a", phase: "Succeeded", restartPolicy: "Never" });
    expect((await waiting).stdout.split("\n").sort()).toEqual(["", "pod/a has succeeded", "pod/b has succeeded"]);
  });

  test.each([
    [{ name: "web", phase: "Failed" as const, exitCode: 3 }, "ready", "exit code 3"],
    [{ name: "web" }, "succeeded", "its restartPolicy is Always, so it never ends"],
    [
      { name: "web", phase: "Failed" as const, exitCode: 3, restartPolicy: "Never" as const },
      "succeeded",
      "exit code 3",
    ],
  ])("%j can never become %s", async (sketch, goal, why) => {
    backend.set(sketch);
    const { code, stderr } = await gantry("wait", "web", "--for", goal, "--timeout", "20s");
    expect(code).toBe(1);
    expect(stderr).toContain(`error: pod default/web can't become ${goal}: it is `);
    expect(stderr).toContain(why);
  });

  test("time is up: says in what state it is, and why", async () => {
    backend.set({ name: "web", waiting: "CrashLoopBackOff", restarts: 3 });
    const { code, stderr } = await gantry("wait", "web", "bad", "--timeout", "50ms");
    expect(code).toBe(1);
    expect(stderr).toContain("pod default/web is CrashLoopBackOff (0/1 ready, restarts 3");
    expect(stderr).toContain("pod default/bad does not exist");
  });

  test("deleted is met at once by a pod that is not there", async () => {
    expect(await gantry("wait", "web", "--for", "deleted")).toMatchObject({ code: 0, stdout: "pod/web is deleted\n" });
  });
});

describe("apply, plan, validate", () => {
  test("apply sends each file and prints what came of it", async () => {
    const path = await file("web.yaml", manifest("web"));
    expect(await gantry("apply", "-f", path)).toMatchObject({ code: 0, stdout: "pod/web created (web.yaml)\n" });
    expect(backend.calls[0]).toMatch(/^apply web\.yaml \d+$/);
    expect(JSON.parse((await gantry("apply", "-f", path, "-o", "json")).stdout).items[0].outcome).toBe("created");
  });

  test("apply hands on the daemon's error", async () => {
    const path = await file("web.yaml", "broken");
    expect(await gantry("apply", "-f", path)).toMatchObject({
      code: 1,
      stderr: "error: spec.containers: is missing\nhint: Add it.\n",
    });
    expect((await gantry("apply", "-f", join(scratch, "none.yaml"))).code).toBe(3);
  });

  test("plan asks the daemon", async () => {
    expect((await gantry("plan")).stdout).toBe("Nothing to do.\n");
    backend.steps = [{ type: "remove-pod", key: "default/web", uid: "1", reason: "no manifest asks for it" }];
    expect((await gantry("plan")).stdout).toBe(
      "- default/web: stop and remove (no manifest asks for it)\n1 step for 1 pod.\n",
    );
  });

  test("plan PATH compares with what the daemon runs", async () => {
    backend.set({ name: "web" });
    backend.set({ name: "other" });
    const same = await file(
      "same/web.yaml",
      `${manifest("web").replace("{name: web}", "{name: web, labels: {app: web}}")}`,
    );
    expect((await gantry("plan", same)).stdout).toBe("Nothing to do.\n");
    const changed = await file("changed/web.yaml", manifest("web", ", command: [sh]"));
    expect((await gantry("plan", changed)).stdout).toContain("default/web: restart container app");
    const folder = await gantry("plan", join(scratch, "same"));
    expect(folder.stdout).toContain("default/other: stop and remove");
    expect(folder.stdout).not.toContain("default/web");
  });

  test("plan without a daemon reads the folder itself", async () => {
    const path = await file("web.yaml", manifest("web"));
    const { code, stdout } = await cli(["--root", join(scratch, "root"), "plan", path]);
    expect([code, stdout]).toEqual([0, `+ default/web: create (namespace, from ${path}:1)\n1 step for 1 pod.\n`]);
    const bare = await cli(["--root", join(scratch, "root"), "plan"]);
    expect([bare.code, bare.stdout]).toEqual([0, "Nothing to do.\n"]);
    expect(bare.stderr).toContain("etc/manifests holds no manifest, or is not there");
  });

  test("validate: good, bad, and JSON", async () => {
    const good = await file("good.yaml", manifest("web"));
    const fine = await gantry("validate", good);
    expect([fine.code, fine.stdout.split("\n").at(-2)]).toEqual([
      0,
      expect.stringMatching(/^valid: 1 object in 1 file/),
    ]);
    const bad = await file("bad.yaml", manifest("web", ", imag: x"));
    const { code, stdout } = await gantry("validate", bad);
    expect(code).toBe(1);
    expect(stdout).toContain(`${bad}:5:`);
    expect(stdout).toContain("imag");
    const json = JSON.parse((await gantry("validate", bad, "-o", "json")).stdout);
    expect([json.valid, json.problems[0].severity]).toEqual([false, "error"]);
  });

  test("validate warns of what is not there; --strict makes it fail", async () => {
    const path = await file(
      "web.yaml",
      `${manifest("web", ", envFrom: [{configMapRef: {name: settings}}], securityContext: {seccompProfile: {type: Localhost, localhostProfile: x.json}}")}  volumes: [{name: v, hostPath: {path: /no/such/path}}]\n`,
    );
    const { code, stdout } = await gantry("validate", path);
    expect(code).toBe(0);
    expect(stdout).toContain("ConfigMap default/settings is in no manifest");
    expect(stdout).toContain("'/no/such/path' does not exist on this host");
    expect(stdout).toContain("image 'localhost/app:1' is not on this host");
    expect(stdout).toMatch(/:5:\d+: warning: .*seccompProfile: there is no seccomp profile .*x\.json/);
    expect((await gantry("validate", path, "--strict")).code).toBe(1);
  });

  test("validate sees two files that define the same pod", async () => {
    await file("two/a.yaml", manifest("web"));
    await file("two/b.yaml", manifest("web"));
    const { code, stdout } = await gantry("validate", join(scratch, "two"));
    expect(code).toBe(1);
    expect(stdout).toContain("a.yaml:1:1");
    expect(stdout).toContain("b.yaml:1:1");
  });
});

describe("the rest", () => {
  test("image ls, import, rm through the daemon", async () => {
    expect((await gantry("image", "ls")).stdout).toMatch(
      /^NAME +DIGEST +ARCH +SIZE +CREATED +SIGNED BY\nlocalhost\/hello:1 +1 +amd64/,
    );
    const archive = await file("app.tar", "some bytes");
    expect((await gantry("image", "import", archive, "app:1")).stdout).toContain("app:1");
    expect(Buffer.concat(backend.imported).toString()).toBe("some bytes");
    expect((await gantry("image", "rm", "app:1")).stdout).toBe("image/app:1 removed\n");
    expect((await gantry("image", "import", join(scratch, "none"), "x:1")).code).toBe(3);
  });

  test("a directory is sent as a tar", async () => {
    await file("rootfs/etc/hostname", "x");
    expect((await gantry("image", "import", join(scratch, "rootfs"), "app:1")).code).toBe(0);
    expect(Buffer.concat(backend.imported).toString("latin1")).toContain("etc/hostname");
  });

  test("version, of both", async () => {
    expect((await gantry("version")).stdout).toMatch(/^Client: .*\nDaemon: 0\.1\.0 \(pid 1, /);
    const { client, daemon } = JSON.parse((await gantry("version", "-o", "json")).stdout);
    expect([typeof client.version, daemon.pid]).toEqual(["string", 1]);
  });

  test("config shows every setting and its origin", async () => {
    const { code, stdout } = await cli(["--root", served.directory, "config"], { GANTRY_LOG_LEVEL: "debug" });
    expect(code).toBe(0);
    expect(stdout).toMatch(/^SETTING +VALUE +FROM\n/);
    expect(stdout).toMatch(/^log\.level +debug +GANTRY_LOG_LEVEL$/m);
    expect((await gantry("config", "path")).stdout).toBe(`${join(served.directory, "etc", "config.yaml")}\n`);
  });

  test("the daemon's own errors arrive whole", async () => {
    backend.failure = new GantryError("state-damaged", "the database is damaged", { hint: "Look at the log." });
    expect(await gantry("status")).toEqual({
      code: 1,
      stdout: "",
      stderr: "error: the database is damaged\nhint: Look at the log.\n",
    });
  });
});

test("wait gives up in time even when the daemon does not answer", async () => {
  const directory = await mkdtemp(join(tmpdir(), "gantry-mute-"));
  await mkdir(join(directory, "run"));
  const mute = createServer(() => {
    // takes the connection, and says nothing
  });
  const sockets = new Set<Socket>();
  mute.on("connection", (socket) => sockets.add(socket));
  await new Promise<void>((resolve) => mute.listen(join(directory, "run", "gantry.sock"), resolve));
  try {
    const { code, stderr } = await cli(["--root", directory, "wait", "web", "--timeout", "100ms"]);
    expect(code).toBe(1);
    expect(stderr).toContain("not ready after 0.1s");
  } finally {
    for (const socket of sockets) socket.destroy();
    mute.close();
    await rm(directory, { recursive: true, force: true });
  }
});

describe("top", () => {
  test("pods and containers, of one pod, and of the node", async () => {
    backend.set({ name: "web" });
    const pods = await gantry("top");
    expect([pods.code, pods.stderr]).toEqual([0, ""]);
    expect(pods.stdout).toBe("NAME   CPU(cores)   MEMORY(bytes)\nweb    250m         64Mi\n");
    const each = await gantry("top", "pod", "web", "--containers", "--sort-by", "memory");
    expect(each.stdout).toBe("POD   NAME   CPU(cores)   MEMORY(bytes)\nweb   app    250m         64Mi\n");
    expect((await gantry("top", "node")).stdout).toMatch(/^NAME .*\nhost +250m +- +64Mi +-\n$/);
    expect(JSON.parse((await gantry("top", "web", "-o", "json")).stdout)).toMatchObject({
      kind: "PodMetricsList",
      apiVersion: "metrics.k8s.io/v1beta1",
      items: [{ window: "1.002s", containers: [{ name: "app", usage: { cpu: "250000000n", memory: "65536Ki" } }] }],
    });
  });

  test("what can't be measured", async () => {
    backend.set({ name: "idle" });
    const cases: [string[], number, RegExp][] = [
      [["top", "nobody"], 3, /there is no pod 'nobody'/],
      [["top", "pods", "idle"], 3, /pod default\/idle has no container that runs/],
      [["top", "node", "other"], 3, /there is no node 'other'/],
      [["top", "web", "db"], 2, /'web' is nothing that can be measured/],
      [["top", "node", "--containers"], 2, /--containers is for pods/],
      [["top", "--sort-by", "size"], 2, /--sort-by 'size' is not known/],
    ];
    for (const [args, code, message] of cases) {
      const result = await gantry(...args);
      expect([result.code, result.stderr], args.join(" ")).toEqual([code, expect.stringMatching(message)]);
    }
    expect((await gantry("top", "-n", "empty")).stderr).toMatch(/No pod runs/);
  });
});
