import { describe, expect, test } from "vitest";
import {
  containerOf,
  eventually,
  FOREVER,
  isRunning,
  type PodView,
  podText,
  RUNTIME_CLASSES,
  runOf,
  shell,
  testHost,
} from "./harness.ts";

describe.each(RUNTIME_CLASSES)("stopping, on %s", (runtimeClass) => {
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
