import { describe, expect, test } from "vitest";
import { eventually, type Fields, FOREVER, podText, RUNTIME_CLASSES, runOf, shell, testHost } from "./harness.ts";

describe.each(RUNTIME_CLASSES)("on %s", (runtimeClass) => {
  test("a pod waits for another, and says so; circles are refused", async () => {
    await using host = testHost({ runtimeClass });
    await host.startDaemon();
    host.write(
      "app.yaml",
      podText("app", [shell("app", FOREVER)], {}, { annotations: { "gantry.dev/depends-on": "db" } }),
    );
    const waits = await host.waitFor("app", ({ status }) => status.reason === "WaitingForDependencies", "waiting");
    expect(waits.status.message).toBe("waits for pod default/db, which does not exist");
    host.write("db.yaml", podText("db", [shell("db", FOREVER)]));
    await host.waitReady("db");
    const app = await host.waitReady("app");
    // Once it runs, it goes on without the other.
    await host.gantry("delete", "db");
    expect(runOf(await host.waitReady("app"), "app").id).toBe(runOf(app, "app").id);
    host.write("a.yaml", podText("a", [shell("a", FOREVER)], {}, { annotations: { "gantry.dev/depends-on": "b" } }));
    host.write("b.yaml", podText("b", [shell("b", FOREVER)], {}, { annotations: { "gantry.dev/depends-on": "a" } }));
    const refused = async (): Promise<boolean> =>
      (await host.gantry("status")).stdout.includes("default/a → default/b → default/a");
    await eventually(refused, { what: "the circle in status", explain: () => host.explain() });
  });

  test("a changed pod that does not become ready goes back, until its file changes again", async () => {
    await using host = testHost({ runtimeClass });
    await host.startDaemon({ args: ["--set", "update.settleSeconds=0"] });
    const annotations = { "gantry.dev/progress-deadline-seconds": runtimeClass === "microvm" ? "20" : "4" };
    const write = (script: string, fields: Fields = {}): void =>
      host.write("web.yaml", podText("web", [shell("web", script, fields)], {}, { annotations }));
    write(FOREVER);
    await host.waitReady("web");
    write(FOREVER, { readinessProbe: { exec: { command: ["false"] }, periodSeconds: 1 } });
    const events = async (): Promise<boolean> => (await host.gantry("events")).stdout.includes("RolledBack");
    await eventually(events, { what: "the roll-back", explain: () => host.explain() });
    await host.waitReady("web");
    expect((await host.gantry("status")).stdout).toContain("rolled back to the last ready one");
    // The same again is not tried again, also not by another daemon.
    await host.stopDaemon("SIGKILL");
    await host.startDaemon({ args: ["--set", "update.settleSeconds=0"] });
    await host.waitReady("web");
    write(`: better; ${FOREVER}`);
    const better = async (): Promise<boolean> => !(await host.gantry("status")).stdout.includes("rolled back");
    await eventually(better, { what: "the new version", explain: () => host.explain() });
    await host.waitReady("web");
  });
});
