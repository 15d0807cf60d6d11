import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import {
  containerOf,
  eventually,
  type Fields,
  FOREVER,
  isRunning,
  type PodView,
  pidsOf,
  podText,
  RUNTIME_CLASSES,
  runOf,
  shell,
  type TestHost,
  testHost,
} from "./harness.ts";

/** A directory of the host at /shared: what apps write there outlives their pod. */
function shared(host: TestHost): { readonly volumes: Fields; readonly mounts: Fields; readonly path: string } {
  const path = join(host.directory, "shared");
  mkdirSync(path, { recursive: true });
  return {
    path,
    volumes: { volumes: [{ name: "shared", hostPath: { path } }] },
    mounts: { volumeMounts: [{ name: "shared", mountPath: "/shared" }] },
  };
}

/** A directory that lives as long as the pod, at /kept. */
const KEPT = {
  volumes: { volumes: [{ name: "kept", emptyDir: {} }] },
  mounts: { volumeMounts: [{ name: "kept", mountPath: "/kept" }] },
} as const;

/** Says in /shared/order that it was told to end, takes a moment over it, and ends with `code`. */
const tells = (name: string, code = 0): string =>
  `trap 'echo ${name} TERM >> /shared/order; usleep 200000; echo ${name} end >> /shared/order; exit ${code}' TERM; ` +
  `echo ${name} up >> /shared/order; while :; do sleep 1000 & wait; done`;

function ended(host: TestHost, container: string): (pod: PodView) => boolean {
  void host;
  return (pod) => containerOf(pod, container).state.terminated !== undefined;
}

describe.each(RUNTIME_CLASSES)("stopping, on %s", (runtimeClass) => {
  // What is written to a directory of the host outlives the pod; a micro-VM has none of the host's.
  if (runtimeClass === "namespace")
    test("TERM once, time to end, sidecars after the mains and in reverse order", async () => {
      await using host = testHost({ runtimeClass });
      await host.startDaemon();
      const { volumes, mounts, path } = shared(host);
      const sidecar = (name: string): Fields => ({ ...shell(name, tells(name), mounts), restartPolicy: "Always" });
      host.write(
        "web.yaml",
        podText("web", [shell("main", tells("main"), mounts)], {
          ...volumes,
          initContainers: [sidecar("first"), sidecar("second")],
          terminationGracePeriodSeconds: 20,
        }),
      );
      await host.waitReady("web");
      const order = (): string[] => readFileSync(join(path, "order"), "utf8").trimEnd().split("\n");
      await eventually(() => order().length === 3, { what: "all of them up" });
      expect(order().slice(0, 3)).toEqual(["first up", "second up", "main up"]);
      host.remove("web.yaml");
      await host.waitGone("web");
      expect(order().slice(3)).toEqual([
        "main TERM",
        "main end",
        "second TERM",
        "second end",
        "first TERM",
        "first end",
      ]);
    });

  test("who does not end in the grace is killed; exit codes tell it", async () => {
    await using host = testHost({ runtimeClass });
    await host.startDaemon();
    // restart stops containers as a deletion does, but leaves their exit codes to be seen
    host.write("deaf.yaml", podText("deaf", [shell("main", "trap '' TERM; while :; do sleep 1; done")]));
    host.write(
      "plain.yaml",
      podText("plain", [shell("main", `trap 'exit 143' TERM; ${"while :; do sleep 1000 & wait; done"}`)]),
    );
    for (const [name, code] of [
      ["deaf", 137],
      ["plain", 143],
    ] as const) {
      const run = runOf(await host.waitReady(name), "main");
      expect((await host.gantry("restart", name)).code).toBe(0);
      const isAnother = (one: PodView): boolean => containerOf(one, "main").ready && runOf(one, "main").id !== run.id;
      const pod = await host.waitFor(name, isAnother, "restarted");
      expect(containerOf(pod, "main").lastState?.terminated?.exitCode).toBe(code);
      expect(containerOf(pod, "main").restartCount).toBe(1);
    }
  });

  test("a shorter grace, and a second deletion that asks for less", async () => {
    await using host = testHost({ runtimeClass });
    await host.startDaemon();
    const deaf = podText("deaf", [shell("main", "trap '' TERM; while :; do sleep 1; done")], {
      terminationGracePeriodSeconds: 3600,
    });
    host.write("deaf.yaml", deaf);
    await host.waitReady("deaf");
    expect((await host.gantry("delete", "deaf", "--grace-period", "1")).code).toBe(0);
    expect((await host.pods()).length).toBe(0);

    host.write("deaf.yaml", deaf);
    const pod = await host.waitReady("deaf");
    const { pid } = runOf(pod, "main");
    host.remove("deaf.yaml");
    await eventually(async () => (await host.gantry("status")).stdout.includes("Terminating"), { what: "Terminating" });
    expect(isRunning(pid)).toBe(true);
    expect((await host.api("DELETE", "/api/v1/namespaces/default/pods/deaf?gracePeriodSeconds=0")).status).toBe(200);
    await host.waitGone("deaf");
    expect(isRunning(pid)).toBe(false);
  });

  test("deleted while it starts, at any stage", async () => {
    await using host = testHost({ runtimeClass });
    await host.startDaemon();
    const text = podText("web", [shell("main", FOREVER)], { initContainers: [shell("init", "usleep 100000")] });
    const seen = new Set<string>();
    for (const stage of ["", "ContainerCreating", "PodInitializing", "running"]) {
      host.write("web.yaml", text);
      const reached = (pod: PodView): boolean => {
        const { state } = containerOf(pod, "main");
        const init = containerOf(pod, "init").state;
        seen.add(state.waiting?.reason ?? "running");
        if (stage === "") return true;
        return stage === "running"
          ? state.running !== undefined
          : init.running !== undefined || state.waiting === undefined;
      };
      await host.waitFor("web", reached, `stage ${stage}`);
      host.remove("web.yaml");
      await host.waitGone("web");
    }
    expect(seen.size).toBeGreaterThan(1);
  });
});

describe.each(RUNTIME_CLASSES)("ending by themselves, on %s", (runtimeClass) => {
  test("pods that run to their end", async () => {
    await using host = testHost({ runtimeClass });
    await host.startDaemon();
    const job = (name: string, script: string, restartPolicy: string): void =>
      host.write(`${name}.yaml`, podText(name, [shell("main", script)], { restartPolicy }));
    job("never-ok", "exit 0", "Never");
    job("never-bad", "echo why it failed >&2; exit 7", "Never");
    job("failure-ok", "exit 0", "OnFailure");
    host.write(
      "both.yaml",
      podText("both", [shell("good", "exit 0"), shell("bad", "exit 2")], { restartPolicy: "Never" }),
    );
    // Fails once, then ends well: a volume of the pod remembers.
    const again = "test -e /kept/tried || { touch /kept/tried; exit 1; }";
    host.write(
      "again.yaml",
      podText("again", [shell("main", again, KEPT.mounts)], { ...KEPT.volumes, restartPolicy: "OnFailure" }),
    );

    const ok = await host.waitPhase("never-ok", "Succeeded");
    expect(containerOf(ok, "main").state.terminated).toMatchObject({ exitCode: 0, reason: "Completed" });
    const bad = await host.waitPhase("never-bad", "Failed");
    expect(containerOf(bad, "main").state.terminated).toMatchObject({ exitCode: 7, reason: "Error" });
    expect((await host.gantry("logs", "never-bad")).stdout).toContain("why it failed");
    await host.waitPhase("failure-ok", "Succeeded");
    const twice = await host.waitPhase("again", "Succeeded");
    expect(containerOf(twice, "main").restartCount).toBe(1);
    const both = await host.waitFor("both", (pod) => ended(host, "good")(pod) && ended(host, "bad")(pod), "both ended");
    await host.waitPhase("both", "Failed");
    if (runtimeClass === "namespace") expect(both.status.containerStatuses.flatMap(pidsOf)).toEqual([]);
    const status = (await host.gantry("status")).stdout;
    expect(status).toMatch(/never-ok\s+0\/1\s+Completed/);
    expect(status).toMatch(/never-bad\s+0\/1\s+Error/);
  });

  test("CrashLoopBackOff: the first restart at once, the second after 10 s, counted and shown", async () => {
    await using host = testHost({ runtimeClass });
    await host.startDaemon();
    host.write("crash.yaml", podText("crash", [shell("main", "exit 3"), shell("other", FOREVER)]));
    const backing = (restarts: number) => (pod: PodView) =>
      containerOf(pod, "main").restartCount === restarts &&
      containerOf(pod, "main").state.waiting?.reason === "CrashLoopBackOff";
    const first = await host.waitFor("crash", backing(1), "backing off");
    expect(first.status.phase).toBe("Running");
    expect((await host.gantry("status")).stdout).toMatch(/crash\s+1\/2\s+CrashLoopBackOff\s+1 /);
    expect(containerOf(first, "main").lastState?.terminated?.exitCode).toBe(3);
    const other = runOf(first, "other");
    const second = await host.waitFor("crash", backing(2), "backing off again");
    expect(runOf(second, "other")).toEqual(other);
    expect((await host.gantry("events")).stdout).toMatch(/BackOff/);
  });

  test("an init container that fails: with Never the pod has failed, else it is tried again", async () => {
    await using host = testHost({ runtimeClass });
    await host.startDaemon();
    const init = [shell("init", "exit 5")];
    host.write(
      "never.yaml",
      podText("never", [shell("main", FOREVER)], { initContainers: init, restartPolicy: "Never" }),
    );
    const failed = await host.waitPhase("never", "Failed");
    expect(containerOf(failed, "init").state.terminated?.exitCode).toBe(5);
    expect((await host.gantry("status")).stdout).toMatch(/never\s+0\/1\s+Init:Error/);

    const script = "echo tried >> /kept/tries; test $(wc -l < /kept/tries) -ge 2";
    const initContainers = [shell("init", script, KEPT.mounts)];
    host.write(
      "again.yaml",
      podText("again", [shell("main", FOREVER, KEPT.mounts)], { ...KEPT.volumes, initContainers }),
    );
    const pod = await host.waitReady("again");
    expect(containerOf(pod, "init").restartCount).toBe(1);
    expect((await host.gantry("exec", "again", "--", "cat", "/kept/tries")).stdout).toBe("tried\ntried\n");
  });

  test("a command that is not there says so, and the pod mends with its manifest", async () => {
    await using host = testHost({ runtimeClass });
    await host.startDaemon();
    host.write("bad.yaml", podText("bad", [shell("main", "", { command: ["/no/such/command"] })]));
    const bad = await host.waitFor(
      "bad",
      (pod) => /no\/such\/command/.test(JSON.stringify(containerOf(pod, "main"))),
      "the missing command named",
    );
    expect(bad.status.phase).toMatch(/Pending|Running/);
    host.write("bad.yaml", podText("bad", [shell("main", FOREVER)]));
    await host.waitReady("bad");
  });
});
