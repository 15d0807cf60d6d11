import { execFileSync } from "node:child_process";
import { readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { readMounts } from "../../src/system/mounts.ts";
import {
  configMapText,
  containerOf,
  eventually,
  FOREVER,
  filesOfPods,
  freePort,
  isRunning,
  type PodView,
  pidOf,
  pidsWith,
  podText,
  RUNTIME_CLASSES,
  runOf,
  shell,
  type TestHost,
  testHost,
} from "./harness.ts";

/** Writes a number to its log, ten times a second. */
const COUNTER = "i=0; while :; do i=$((i+1)); echo line $i; usleep 100000; done";

async function logLines(host: TestHost, pod: string): Promise<string[]> {
  return (await host.gantry("logs", pod)).stdout.trimEnd().split("\n");
}

async function ready(host: TestHost, name: string): Promise<PodView> {
  return host.waitReady(name);
}

describe.each(RUNTIME_CLASSES)("while no daemon runs, on %s", (runtimeClass) => {
  test("pods go on, lose no line, and are taken over as they are", async () => {
    await using host = testHost({ runtimeClass });
    await host.startDaemon();
    const hostPort = await freePort();
    host.write(
      "web.yaml",
      podText("web", [
        shell("web", "echo up > /tmp/index.html; exec httpd -f -p 8080 -h /tmp", {
          ports: [{ containerPort: 8080, hostPort }],
        }),
      ]),
    );
    host.write(
      "count.yaml",
      podText("count", [shell("main", COUNTER)], { initContainers: [shell("init", "echo init ran")] }),
    );
    const before = await Promise.all([ready(host, "web"), ready(host, "count")]);
    process.kill(runOf(before[0], "web").pid, "SIGKILL");
    const web = await host.waitFor("web", (pod) => restartsOf(pod, "web") === 1 && isReadyNow(pod), "restarted once");
    const runs = [runOf(web, "web"), runOf(before[1], "main")];

    await host.stopDaemon("SIGKILL");
    const seen = readFileSync(logFileOf(host, before[1], "main", 0), "utf8").split("\n").length;
    // The pods serve and log while nobody watches.
    const page = async (): Promise<string> => (await fetch(`http://127.0.0.1:${hostPort}/`)).text();
    expect(await eventually(page, { what: "the page" })).toBe("up\n");
    await eventually(() => readFileSync(logFileOf(host, before[1], "main", 0), "utf8").split("\n").length > seen + 5);

    await host.startDaemon();
    const after = await Promise.all([ready(host, "web"), ready(host, "count")]);
    expect([runOf(after[0], "web"), runOf(after[1], "main")]).toEqual(runs);
    expect(restartsOf(after[0], "web")).toBe(1);
    expect(after.map(({ metadata }) => metadata.uid)).toEqual(before.map(({ metadata }) => metadata.uid));
    expect(after[1].status.podIP).toBe(before[1].status.podIP);
    expect(restartsOf(after[1], "init")).toBe(0);
    const lines = await logLines(host, "count");
    expect(lines).toEqual(lines.map((_, index) => `line ${index + 1}`));
    // What the last daemon did to it is still known.
    const events = (await host.gantry("describe", "web")).stdout;
    expect(events).toMatch(/Started/);
  });

  test("manifests that change, come and go are found at the next start", async () => {
    await using host = testHost({ runtimeClass });
    await host.startDaemon();
    host.write("settings.yaml", configMapText("settings", { key: "old" }));
    const settings = {
      volumes: [{ name: "config", configMap: { name: "settings" } }],
    };
    const reader = shell("reader", FOREVER, { volumeMounts: [{ name: "config", mountPath: "/config" }] });
    host.write("gone.yaml", podText("gone", [shell("main", FOREVER)]));
    host.write("kept.yaml", podText("kept", [shell("main", FOREVER)]));
    host.write("edited.yaml", podText("edited", [shell("one", FOREVER), shell("two", FOREVER)]));
    host.write("rebuilt.yaml", podText("rebuilt", [shell("main", FOREVER)]));
    host.write("config.yaml", podText("config", [reader], settings));
    const names = ["gone", "kept", "edited", "rebuilt", "config"];
    const pods = await Promise.all(names.map((name) => host.waitReady(name)));
    const [, kept, edited, rebuilt, config] = pods;
    if (!kept || !edited || !rebuilt || !config) throw new Error("a pod is missing");
    const two = runOf(edited, "two");
    const runs = { kept: runOf(kept, "main"), one: runOf(edited, "one"), reader: runOf(config, "reader") };
    await host.stopDaemon("SIGKILL");

    host.remove("gone.yaml");
    host.write("new.yaml", podText("new", [shell("main", FOREVER)]));
    host.write("edited.yaml", podText("edited", [shell("one", FOREVER), shell("two", `: new; ${FOREVER}`)]));
    host.write("rebuilt.yaml", podText("rebuilt", [shell("main", FOREVER)], { hostname: "other" }));
    host.write("settings.yaml", configMapText("settings", { key: "new" }));
    renameSync(join(host.manifests, "kept.yaml"), join(host.manifests, "moved.yaml"));
    await host.startDaemon();

    await host.waitGone("gone");
    await host.waitReady("new");
    const after = await host.waitFor(
      "edited",
      (pod) => isReadyNow(pod) && runOf(pod, "two").id !== two.id,
      "two restarted",
    );
    expect(runOf(after, "one")).toEqual(runs.one);
    const anew = await host.waitFor(
      "rebuilt",
      (pod) => isReadyNow(pod) && pod.metadata.uid !== rebuilt.metadata.uid,
      "made anew",
    );
    expect((await host.gantry("exec", "rebuilt", "--", "hostname")).stdout).toBe("other\n");
    expect(anew.status.podIP).toBeDefined();
    const value = async (): Promise<string> => (await host.gantry("exec", "config", "--", "cat", "/config/key")).stdout;
    await eventually(async () => (await value()) === "new", { what: "the new value" });
    expect(runOf(await host.waitReady("config"), "reader")).toEqual(runs.reader);
    expect(runOf(await host.waitReady("kept"), "main")).toEqual(runs.kept);
  });

  test("a folder that is gone at the next start changes nothing", async () => {
    await using host = testHost({ runtimeClass });
    await host.startDaemon();
    host.write("web.yaml", podText("web", [shell("main", FOREVER)]));
    const before = await host.waitReady("web");
    const run = runOf(before, "main");
    await host.stopDaemon("SIGKILL");
    const away = join(host.directory, "away");
    renameSync(host.manifests, away);

    await host.startDaemon();
    const after = await host.waitReady("web");
    expect([after.metadata.uid, runOf(after, "main")]).toEqual([before.metadata.uid, run]);
    const status = await host.gantry("status");
    expect(status.stdout + status.stderr).toContain(host.manifests);
    // It is supervised all the same.
    process.kill(run.pid, "SIGKILL");
    await host.waitFor("web", (pod) => restartsOf(pod, "main") === 1 && isReadyNow(pod), "restarted");

    renameSync(away, host.manifests);
    host.remove("web.yaml");
    await host.waitGone("web");
  });

  test("a state database that was overwritten is set aside, and what runs is taken over from observation", async () => {
    await using host = testHost({ runtimeClass });
    await host.startDaemon();
    host.write("web.yaml", podText("web", [shell("main", FOREVER)], { initContainers: [shell("init", "true")] }));
    const before = await host.waitReady("web");
    const run = runOf(before, "main");
    await host.stopDaemon("SIGKILL");
    for (const suffix of ["", "-wal"]) writeFileSync(host.paths.database + suffix, "no database ".repeat(1000));

    await host.startDaemon();
    const after = await host.waitReady("web");
    expect([after.metadata.uid, runOf(after, "main")]).toEqual([before.metadata.uid, run]);
    expect(restartsOf(after, "init")).toBe(0);
    const events = await host.gantry("events");
    expect(events.stdout).toMatch(/StateDamaged/);
    expect(host.daemon?.log()).toContain("damaged");
  });

  test("a database lost while a manifest is broken: its pod runs on, and is taken over when the manifest is mended", async () => {
    await using host = testHost({ runtimeClass });
    await host.startDaemon();
    const text = podText("web", [shell("main", FOREVER)]);
    host.write("web.yaml", text);
    const before = await host.waitReady("web");
    const run = runOf(before, "main");
    await host.stopDaemon("SIGKILL");
    for (const suffix of ["", "-wal", "-shm"]) rmSync(host.paths.database + suffix, { force: true });
    host.write("web.yaml", text.replace('"command"', '"comand"'));
    await host.startDaemon();
    // Another pod's whole start: time enough to end the first.
    host.write("other.yaml", podText("other", [shell("main", FOREVER)]));
    await host.waitReady("other");
    expect(isRunning(run.pid)).toBe(true);
    expect((await host.gantry("status")).stdout).toContain("did you mean 'command'?");

    host.write("web.yaml", text);
    const after = await host.waitReady("web");
    expect([after.metadata.uid, runOf(after, "main")]).toEqual([before.metadata.uid, run]);
  });

  test("a database lost together with the manifest: the pod is ended, politely", async () => {
    await using host = testHost({ runtimeClass });
    await host.startDaemon();
    host.write("web.yaml", podText("web", [shell("main", FOREVER)]));
    const { pid } = runOf(await host.waitReady("web"), "main");
    await host.stopDaemon("SIGKILL");
    for (const suffix of ["", "-wal", "-shm"]) rmSync(host.paths.database + suffix, { force: true });
    host.remove("web.yaml");
    await host.startDaemon();
    await eventually(() => !isRunning(pid) && filesOfPods(host.paths).length === 0, {
      what: "the end of the pod",
      explain: () => `${filesOfPods(host.paths).join("\n")}\n${host.daemon?.log()}`,
    });
  });
});

test("a second daemon on the same root is refused and told of the first", async () => {
  await using host = testHost();
  const first = await host.startDaemon();
  const second = await host.gantry("daemon", "--manifests", host.manifests);
  expect(second.code).toBe(1);
  expect(second.stderr).toContain(`process ${first.pid}`);
  // And the first is not disturbed.
  expect((await host.api("GET", "/healthz")).status).toBe(200);
  await host.stopDaemon("SIGKILL");
  await host.startDaemon(); // a lock of a dead one is no lock
});

describe("what is broken behind the daemon's back is repaired", () => {
  const damages: readonly { readonly name: string; readonly harm: (host: TestHost, pod: PodView) => void }[] = [
    {
      name: "the container deleted with the OCI runtime",
      harm: (host, pod) => {
        const id = containerOf(pod, "main").containerID?.replace(/^\w+:\/\//, "") ?? "";
        execFileSync("crun", ["--root", join(host.paths.run, "oci/crun"), "delete", "--force", id]);
      },
    },
    {
      name: "the network namespace unpinned",
      harm: (host, pod) => {
        execFileSync("umount", [join(sandboxOf(host, pod), "net")]);
      },
    },
    {
      name: "the bridge deleted",
      harm: (host) => {
        const { rootId } = host.paths;
        const links = execFileSync("ip", ["-o", "link", "show", "type", "bridge"], { encoding: "utf8" });
        const bridge = new RegExp(`^\\d+: (\\S*${rootId}\\S*?):`, "m").exec(links)?.[1];
        if (bridge === undefined) throw new Error(`no bridge of root ${rootId}: ${links}`);
        execFileSync("ip", ["link", "delete", bridge]);
      },
    },
    {
      name: "the pod's interface deleted",
      harm: (host) => {
        const links = execFileSync("ip", ["-o", "link", "show", "type", "veth"], { encoding: "utf8" });
        const bridge = `gnt${host.paths.rootId}`;
        const veth = new RegExp(`^\\d+: ([^:@]+)@.* master ${bridge} `, "m").exec(links)?.[1];
        if (veth === undefined) throw new Error(`nothing in bridge ${bridge}: ${links}`);
        execFileSync("ip", ["link", "delete", veth]);
      },
    },
    {
      name: "the rules of the firewall flushed",
      harm: (host) => {
        const tables = execFileSync("nft", ["list", "tables"], { encoding: "utf8" });
        const [, family = "", name = ""] =
          new RegExp(`^table (\\S+) (\\S*${host.paths.rootId})$`, "m").exec(tables) ?? [];
        execFileSync("nft", ["delete", "table", family, name]);
      },
    },
    {
      name: "conmon and the app killed at once",
      harm: (host, pod) => {
        const monitors = pidsWith(`${host.root}/`).filter((pid) => commandOf(pid) === "conmon");
        for (const pid of [...monitors, pidOf(pod, "main")]) process.kill(pid, "SIGKILL");
      },
    },
    {
      name: "conmon killed",
      harm: (host) => {
        for (const pid of pidsWith(`${host.root}/`).filter((one) => commandOf(one) === "conmon"))
          process.kill(pid, "SIGKILL");
      },
    },
  ];

  test.each(damages)("$name", async ({ harm }) => {
    await using host = testHost();
    const hostPort = await freePort();
    const options = { env: { GANTRY_RECONCILE_INTERVAL_SECONDS: "1" } };
    await host.startDaemon(options);
    host.write(
      "web.yaml",
      podText("web", [
        shell("main", "echo up > /tmp/index.html; httpd -p 8080 -h /tmp; while :; do sleep 1; done", {
          ports: [{ containerPort: 8080, hostPort }],
        }),
      ]),
    );
    const pod = await host.waitReady("web");
    const answers = async (): Promise<boolean> => {
      const response = await fetch(`http://127.0.0.1:${hostPort}/`, { signal: AbortSignal.timeout(500) });
      return (await response.text()) === "up\n";
    };
    await eventually(answers, { what: "an answer" });
    const pid = pidOf(pod, "main");
    harm(host, pod);
    // Whatever was done: it is seen, and in the end the pod runs and serves again; also with a daemon that saw it not.
    const whole = async (): Promise<boolean> => {
      const [now] = await host.pods();
      return (
        now !== undefined &&
        isReadyNow(now) &&
        isRunning(pidOf(now, "main")) &&
        (await monitored(host)) &&
        (await answers())
      );
    };
    await eventually(whole, { what: "the repair", deadlineMs: 40_000, explain: () => host.explain() });
    expect(pid).toBeGreaterThan(0);
  });

  /** Exactly one monitor for the one container. */
  async function monitored(host: TestHost): Promise<boolean> {
    return pidsWith(`${host.root}/`).filter((pid) => commandOf(pid) === "conmon").length === 1;
  }

  test("the overlay of a container unmounted: nothing is left mounted in the end", async () => {
    await using host = testHost();
    await host.startDaemon();
    host.write("web.yaml", podText("web", [shell("main", FOREVER)]));
    await host.waitReady("web");
    for (const { path } of await readMounts()) {
      if (path.startsWith(`${host.root}/`) && path.endsWith("/rootfs")) execFileSync("umount", ["-l", path]);
    }
    host.remove("web.yaml");
    await host.waitGone("web");
  });
});

test("what a crash left half done is removed at the next start", async () => {
  await using host = testHost();
  await host.startDaemon();
  host.write("web.yaml", podText("web", [shell("main", FOREVER)]));
  const pod = await host.waitReady("web");
  await host.stopDaemon("SIGKILL");
  const { run, lib, pods, podLogs } = host.paths;
  const stray = [
    join(run, "sandboxes/.0123456789ab-0.new"),
    join(sandboxOf(host, pod), "containers/.0123456789ab-0-main-7.new"),
    join(lib, "sandboxes/0123456789ab-0/0123456789ab-0-main-0/upper"),
    join(pods, "01234567-89ab-cdef-0123-456789abcdef/volumes/work"),
    join(podLogs, "default_web_01234567-89ab-cdef-0123-456789abcdef/main"),
  ];
  for (const directory of stray) execFileSync("mkdir", ["-p", directory]);
  const mounted = join(pods, "01234567-89ab-cdef-0123-456789abcdef/volumes/memory");
  execFileSync("mkdir", ["-p", mounted]);
  execFileSync("mount", ["-t", "tmpfs", "tmpfs", mounted]);

  await host.startDaemon();
  await host.waitReady("web");
  const left = (): string =>
    execFileSync("find", [host.root, "-name", "*0123456789*", "-o", "-name", "*01234567-89*"], { encoding: "utf8" });
  await eventually(() => left() === "", { what: "a clean root", explain: () => `${left()}\n${host.daemon?.log()}` });
});

function restartsOf(pod: PodView, name: string): number {
  return containerOf(pod, name).restartCount;
}

function isReadyNow(pod: PodView): boolean {
  return pod.status.containerStatuses.every(({ ready: is }) => is);
}

function logFileOf(host: TestHost, { metadata }: PodView, container: string, run: number): string {
  const { namespace, name, uid } = metadata;
  return join(host.paths.podLogs, `${namespace}_${name}_${uid}`, container, `${run}.log`);
}

function sandboxOf(host: TestHost, { metadata }: PodView): string {
  const prefix = `file ${join(host.paths.run, "sandboxes")}/`;
  const short = metadata.uid.replaceAll("-", "").slice(0, 12);
  const found = filesOfPods(host.paths).find((file) => file.startsWith(`${prefix}${short}`));
  if (found === undefined) throw new Error(`no sandbox of ${metadata.name}`);
  return found.slice("file ".length);
}

function commandOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/comm`, "utf8").trim();
  } catch {
    return "";
  }
}
