import { execFileSync } from "node:child_process";
import { mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { appearedPids, FOREVER, objectText, pidsOf, podText } from "./harness/sketch.ts";
import { eventually, type TestHost, testHost } from "./harness.ts";

/** Whatever is dropped into the folder, one pod goes on all the while, as the same process. */
let host: TestHost;
let steady: readonly number[];
beforeAll(async () => {
  host = testHost();
  await host.startDaemon();
  host.write("steady.yaml", podText("steady"));
  await host.waitReady("steady");
  steady = await appearedPids(host.root, "steady");
});
afterEach(() => expect(pidsOf(host.root, "steady")).toEqual(steady));
afterAll(() => host.dispose());

const POD = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: x\nspec:\n  containers:\n    - name: app\n";
const IMAGE = "      image: localhost/gantry/sample:1\n";
const BOMB = `a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n${[1, 2, 3, 4, 5, 6, 7, 8, 9]
  .map(
    (n) =>
      `a${n}: &a${n} [${Array(10)
        .fill(`*a${n - 1}`)
        .join(", ")}]\n`,
  )
  .join("")}`;

interface BrokenFile {
  readonly name: string;
  readonly make: string | Buffer | ((path: string) => void);
  /** `line:column: error: message` */
  readonly error: string | RegExp;
}

const BROKEN: readonly BrokenFile[] = [
  { name: "truncated", make: `${POD}      ima`, error: /:8:7: error: / },
  {
    name: "cut-off",
    make: '{"apiVersion": "v1", "kind": "Pod", "metadata": {',
    error: /:1:\d+: error: not valid YAML/,
  },
  {
    name: "tabs",
    make: "apiVersion: v1\nkind: Pod\nmetadata:\n\tname: x\n",
    error: ":4:1: error: not valid YAML: Tabs",
  },
  {
    name: "duplicate-keys",
    make: `${POD}${IMAGE}kind: Pod\n`,
    error: ":9:1: error: kind: the key 'kind' is there twice",
  },
  { name: "anchor-bomb", make: BOMB, error: /:1:\d+: error: .*aliases expand to more than 10000 values/ },
  {
    name: "ten-megabytes",
    make: Buffer.alloc(10 * 1024 * 1024, "# no end\n"),
    error: ":1:1: error: the file has 10485760 bytes",
  },
  { name: "binary", make: Buffer.from("apiVersion: v1\nkind\u0000: Pod\n"), error: ":2:5: error: the file is binary" },
  { name: "latin1", make: Buffer.from("# caf\xe9\n", "latin1"), error: ":1:6: error: the file is not valid UTF-8" },
  { name: "utf16", make: Buffer.from("\ufeffapiVersion: v1\n", "utf16le"), error: ":1:1: error: the file is UTF-16" },
  {
    name: "dangling",
    make: (path) => symlinkSync("/nonexistent/pod.yaml", path),
    error: "is a symbolic link to nothing",
  },
  { name: "loop", make: (path) => symlinkSync(path, path), error: "is a symbolic link that leads to itself" },
  { name: "pipe", make: (path) => void execFileSync("mkfifo", [path]), error: "is neither a file nor a folder" },
  { name: "endless", make: (path) => symlinkSync("/dev/zero", path), error: "is neither a file nor a folder" },
  // Regular files by their looks; reading the first would wait for the kernel's next message.
  {
    name: "kernel-log",
    make: (path) => symlinkSync("/proc/kmsg", path),
    error: /:1:1: error: can't be read|: error: /,
  },
  { name: "unreadable", make: (path) => symlinkSync("/proc/self/mem", path), error: ":1:1: error: can't be read: EIO" },
  {
    name: "no-object",
    make: "just text\n",
    error: ':1:1: error: a manifest is an object with apiVersion and kind, not "just text"',
  },
  {
    name: "unknown-kind",
    make: "apiVersion: v1\nkind: Podd\nmetadata: {name: x}\n",
    error: /:2:7: error: kind: .*Podd/,
  },
  {
    name: "unknown-version",
    make: POD.replace("v1", "v7") + IMAGE,
    error: ':1:13: error: apiVersion: Pod has no version "v7"',
  },
  {
    name: "typo",
    make: `${POD}      imaeg: x\n`,
    error: ":8:7: error: spec.containers[0].imaeg: unknown field 'imaeg'",
  },
  {
    name: "wrong-type",
    make: `${POD}${IMAGE}      command: 5\n`,
    error: ":9:16: error: spec.containers[0].command: must be a list, not the number 5",
  },
  {
    name: "out-of-range",
    make: `${POD}${IMAGE}      ports: [{containerPort: 70000}]\n`,
    error: ":9:31: error: spec.containers[0].ports[0].containerPort: 70000",
  },
  {
    name: "bad-name",
    make: POD.replace("name: x", "name: Not_A_Name") + IMAGE,
    error: ':4:9: error: metadata.name: "Not_A_Name"',
  },
  {
    name: "not-supported",
    make: `${POD}${IMAGE}      volumeDevices: [{name: v, devicePath: /dev/x}]\n`,
    error: /:9:\d+: error: spec.containers\[0\].volumeDevices/,
  },
  {
    name: "sysctl-of-the-host",
    make: `${POD}${IMAGE}  securityContext:\n    sysctls:\n      - name: vm.swappiness\n        value: "1"\n`,
    error: ":11:15: error: spec.securityContext.sysctls[0].name: vm.swappiness is a setting of the whole host",
  },
  {
    name: "foreign-volume",
    make: `${POD}${IMAGE}  volumes:\n    - name: v\n      nfs: {server: s, path: /x}\n`,
    error: /:11:\d+: error: spec.volumes\[0\].nfs/,
  },
];

describe("files that are no manifests", () => {
  let validated = "";
  let status = "";
  let events = "";
  const file = (name: string): string => `${join(host.manifests, name)}.yaml`;
  const lineFor = (text: string, name: string): string | undefined =>
    text.split("\n").find((line) => line.includes(`${file(name)}:`));

  beforeAll(async () => {
    for (const { name, make } of BROKEN) {
      if (typeof make === "function") make(file(name));
      else {
        // Whole at once: what is read of one that grows is another text.
        writeFileSync(join(host.directory, "whole"), make);
        renameSync(join(host.directory, "whole"), file(name));
      }
    }
    // A folder that is called like a file is a folder like any other.
    mkdirSync(file("folder"));
    writeFileSync(join(file("folder"), "inside.yaml"), podText("inside"));
    await host.waitReady("inside");
    status = await eventually(async () => {
      const { stdout } = await host.gantry("status");
      return BROKEN.every(({ name }) => lineFor(stdout, name) !== undefined) && stdout;
    });
    const [validation, listed] = await Promise.all([host.gantry("validate", host.manifests), host.gantry("events")]);
    expect(validation.code).toBe(1);
    validated = validation.stdout;
    events = listed.stdout;
  });
  afterAll(async () => {
    for (const { name } of BROKEN) rmSync(file(name));
    rmSync(file("folder"), { recursive: true });
    await host.waitGone("inside");
    const isWell = async (): Promise<boolean> => (await host.gantry("status", "--exit-code")).code === 0;
    await eventually(isWell, { what: "a status without errors", explain: () => host.explain() });
  });

  test.each(BROKEN)("$name", ({ name, error }) => {
    const expected = typeof error === "string" ? expect.stringContaining(error) : expect.stringMatching(error);
    expect(lineFor(validated, name), "validate").toEqual(expected);
    expect(lineFor(status, name), "status").toEqual(expected);
    const withoutSeverity =
      typeof error === "string" ? error.replace("error: ", "") : new RegExp(error.source.replaceAll("error: ", ""));
    const inEvents =
      typeof withoutSeverity === "string"
        ? expect.stringContaining(withoutSeverity)
        : expect.stringMatching(withoutSeverity);
    expect(lineFor(events, name), "events").toEqual(inEvents);
  });

  test("status says with its exit code that not all is well", async () => {
    expect((await host.gantry("status", "--exit-code")).code).toBe(1);
  });
});

describe("pods that can't run", () => {
  const cases: readonly (readonly [string, string, RegExp])[] = [
    [
      "no-image",
      podText("no-image", { image: "localhost/no/such:1" }),
      /image localhost\/no\/such:1 is not in the store: import it with 'gantry image import/,
    ],
    [
      "never",
      podText("never", { image: "localhost/no/such:1", imagePullPolicy: "Never" }),
      /Container image "localhost\/no\/such:1" is not present with pull policy of Never/,
    ],
    [
      "no-command",
      podText("no-command", { command: ["no-such-command"] }),
      /there is no command "no-such-command" in the image/,
    ],
    ["not-executable", podText("not-executable", { command: ["/etc/passwd"] }), /\/etc\/passwd/],
    [
      "bad-dir",
      podText("bad-dir", { workingDir: "/etc/passwd" }),
      /the working directory \/etc\/passwd cannot be entered/,
    ],
    ["bad-user", podText("bad-user", { securityContext: { runAsNonRoot: true } }), /runAsNonRoot/],
    [
      "no-path",
      podText(
        "no-path",
        { volumeMounts: [{ name: "v", mountPath: "/v" }] },
        { volumes: [{ name: "v", hostPath: { path: "/nonexistent/dir", type: "Directory" } }] },
      ),
      /volume v: hostPath \/nonexistent\/dir \(type Directory\) does not exist/,
    ],
  ];
  test.each(cases)("%s", async (name, text, message) => {
    host.write(`${name}.yaml`, text);
    await eventually(
      async () => {
        const { stdout } = await host.gantry("status");
        return stdout.split("\n").some((line) => line.includes(`${name}: `) && message.test(line));
      },
      { what: `${name} in status`, explain: () => host.explain() },
    );
    expect((await host.gantry("events", name)).stdout).toMatch(message);
    expect((await host.gantry("describe", name)).stdout).toMatch(message);
    expect((await host.gantry("wait", name, "--timeout", "1s")).code).toBe(1);
    host.remove(`${name}.yaml`);
    await host.waitGone(name);
  });

  const withConfig = (source: object): string =>
    podText("config", { envFrom: [source], command: ["sh", "-c", `echo "=$word="; ${FOREVER[2]}`] });
  const needs: readonly (readonly [string, string, RegExp, string])[] = [
    [
      "ConfigMap",
      withConfig({ configMapRef: { name: "late" } }),
      /configmap "late" not found/,
      objectText("ConfigMap", "late", { data: { word: "hello" } }),
    ],
    [
      "Secret",
      withConfig({ secretRef: { name: "late" } }),
      /secret "late" not found/,
      objectText("Secret", "late", { stringData: { word: "hello" } }),
    ],
    [
      "key of a ConfigMap",
      podText("config", {
        env: [{ name: "word", valueFrom: { configMapKeyRef: { name: "other", key: "word" } } }],
        command: ["sh", "-c", `echo "=$word="; ${FOREVER[2]}`],
      }),
      /key.*word|word.*key/i,
      objectText("ConfigMap", "other", { data: { word: "hello" } }),
    ],
  ];
  test.each(needs)("a missing %s, which comes later", async (kind, text, message, cure) => {
    if (kind.startsWith("key")) host.write("late.yaml", objectText("ConfigMap", "other", { data: { another: "x" } }));
    host.write("config.yaml", text);
    const waits = await host.waitFor(
      "config",
      ({ status }) => status.containerStatuses[0]?.state.waiting?.reason === "CreateContainerConfigError",
      "waiting",
    );
    expect(waits.status.containerStatuses[0]?.state.waiting?.message).toMatch(message);
    expect((await host.gantry("status")).stdout).toMatch(message);
    expect((await host.gantry("events", "config")).stdout).toMatch(message);
    host.write("late.yaml", cure);
    await host.waitReady("config");
    expect((await host.gantry("logs", "config")).stdout).toBe("=hello=\n");
    host.remove("config.yaml");
    host.remove("late.yaml");
    await host.waitGone("config");
  });
});

describe("host ports", () => {
  test("two pods want the same: the first keeps it, the second takes over when it goes", async () => {
    const port = await freePort();
    const ports = [{ containerPort: 80, hostPort: port }];
    host.write("port-a.yaml", podText("port-a", { ports }));
    await host.waitReady("port-a");
    host.write("port-b.yaml", podText("port-b", { ports }));
    const said = await eventually(async () => {
      const { stdout } = await host.gantry("status");
      return stdout.includes("port-b.yaml:") && stdout;
    });
    expect(said).toMatch(
      new RegExp(
        `port-b\\.yaml:\\d+:\\d+: error: spec\\.containers\\[.*hostPort: host port ${port}/TCP is already used by pod default/port-a`,
      ),
    );
    expect((await host.gantry("events")).stdout).toContain(`host port ${port}/TCP is already used`);
    const validation = await host.gantry("validate", host.manifests);
    expect(validation.code).toBe(1);
    expect(validation.stdout).toContain(`host port ${port}/TCP is already used by pod default/port-a`);
    host.remove("port-a.yaml");
    await host.waitReady("port-b");
    host.remove("port-b.yaml");
    await host.waitGone("port-b");
  });

  test("taken by another process: said, and had once it is free", async () => {
    const server = createServer();
    const port = await new Promise<number>((resolve) => {
      server.listen(0, "0.0.0.0", () => {
        const address = server.address();
        resolve(typeof address === "object" && address !== null ? address.port : 0);
      });
    });
    host.write("port-taken.yaml", podText("port-taken", { ports: [{ containerPort: 80, hostPort: port }] }));
    await eventually(async () => new RegExp(`port-taken: .*${port}`).test((await host.gantry("status")).stdout), {
      what: "the port in status",
      explain: () => host.explain(),
    });
    expect((await host.gantry("events", "port-taken")).stdout).toContain(String(port));
    await new Promise((resolve) => server.close(resolve));
    await host.waitReady("port-taken");
    host.remove("port-taken.yaml");
    await host.waitGone("port-taken");
  });
});

test("two files define one pod: both are named, and the one that runs stays", async () => {
  host.write("twin-a.yaml", podText("twin", { env: [{ name: "FROM", value: "a" }] }));
  await host.waitReady("twin");
  const before = await appearedPids(host.root, "twin");
  host.write("twin-0.yaml", podText("twin", { env: [{ name: "FROM", value: "0" }] }));
  const said = await eventually(async () => {
    const { stdout } = await host.gantry("status");
    return stdout.includes("twin-0.yaml:") && stdout;
  });
  expect(said).toMatch(/twin-0\.yaml:\d+:\d+: error: .*Pod default\/twin is defined at .*twin-a\.yaml:\d+:\d+ as well/);
  expect(said).toMatch(/twin-a\.yaml:\d+:\d+: error: .*Pod default\/twin is defined at .*twin-0\.yaml:\d+:\d+ as well/);
  expect(pidsOf(host.root, "twin")).toEqual(before);
  host.remove("twin-a.yaml");
  await eventually(async () => (await host.gantry("exec", "twin", "--", "sh", "-c", "echo $FROM")).stdout === "0\n", {
    what: "the other file's version",
    explain: () => host.explain(),
  });
  host.remove("twin-0.yaml");
  await host.waitGone("twin");
});

describe("a file that breaks", () => {
  test("leaves its pod as it is, also over a restart of the daemon, and goes on when mended", async () => {
    host.write("breaks.yaml", podText("breaks"));
    await host.waitReady("breaks");
    const before = await appearedPids(host.root, "breaks");
    host.write("breaks.yaml", podText("breaks").replace('"image"', '"imaeg"'));
    await eventually(async () => (await host.gantry("status")).stdout.includes("did you mean 'image'?"));
    expect(pidsOf(host.root, "breaks")).toEqual(before);
    expect((await host.gantry("events")).stdout).toContain("imaeg");
    await host.stopDaemon("SIGKILL");
    await host.startDaemon();
    await eventually(async () => (await host.gantry("status")).stdout.includes("did you mean 'image'?"));
    expect(pidsOf(host.root, "breaks")).toEqual(before);
    host.write("breaks.yaml", podText("breaks"));
    await eventually(async () => (await host.gantry("status", "--exit-code")).code === 0);
    expect(pidsOf(host.root, "breaks")).toEqual(before);
    host.remove("breaks.yaml");
    await host.waitGone("breaks");
  });
});

describe("the command line", () => {
  test("a second daemon on the same root is refused, and told who the first is", async () => {
    const { code, stderr } = await host.gantry("daemon", "--manifests", host.manifests);
    expect(code).toBe(1);
    expect(stderr).toContain(`process ${host.daemon?.pid}`);
  });

  test("unknown flags, commands and pods", async () => {
    const flag = await host.gantry("status", "--wach");
    expect([flag.code, flag.stderr]).toEqual([2, expect.stringContaining("--watch")]);
    const command = await host.gantry("stauts");
    expect([command.code, command.stderr]).toEqual([2, expect.stringContaining("status")]);
    const pod = await host.gantry("logs", "staedy");
    expect([pod.code, pod.stderr]).toEqual([3, expect.stringContaining("steady")]);
  });

  test("no daemon", async () => {
    const { code, stderr } = await host.gantryWith(
      { env: { GANTRY_ROOT: join(host.directory, "elsewhere") } },
      "status",
    );
    expect(code).toBe(4);
    expect(stderr).toContain("gantry daemon");
  });
});

async function freePort(): Promise<number> {
  const server = createServer();
  const port = await new Promise<number>((resolve) => {
    server.listen(0, () => {
      const address = server.address();
      resolve(typeof address === "object" && address !== null ? address.port : 0);
    });
  });
  await new Promise((resolve) => server.close(resolve));
  return port;
}
