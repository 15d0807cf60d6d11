import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { desiredPod, Harness, UID } from "./harness.ts";

let h: Harness;
beforeEach(() => {
  h = new Harness();
});
afterEach(() => h.close());

const INIT = { initContainers: [{ name: "one", image: "app" }] };
const deeds = (): string[] => h.driver.calls.map(({ method }) => method).filter((method) => method !== "list");

describe("a daemon that was killed and comes back", () => {
  it("touches nothing of what runs", async () => {
    const desired = desiredPod(INIT);
    await h.ensure(desired);
    await h.exit("one", 0);
    const id = h.live("app");
    await h.crash(desired);
    expect(deeds()).toEqual([]);
    expect(h.container("app")).toMatchObject({ ready: true, restartCount: 0, state: { containerId: id } });
    expect(h.container("one").state).toMatchObject({ type: "terminated", exitCode: 0 });
  });

  it("does not rerun a completed init container whose traces are gone", async () => {
    const desired = desiredPod(INIT);
    await h.ensure(desired);
    await h.exit("one", 0);
    for (const sandbox of h.world.sandboxes.values()) {
      for (const [id, { config }] of sandbox.containers) if (config.name === "one") sandbox.containers.delete(id);
    }
    await h.crash(desired);
    expect(h.container("one").state).toMatchObject({ type: "terminated", exitCode: 0 });
    expect(deeds()).toEqual([]);
  });

  it("keeps restart counts and goes on waiting where the last one did", async () => {
    const desired = desiredPod();
    await h.ensure(desired);
    await h.exit("app", 1);
    await h.exit("app", 1);
    await h.pass(6000);
    await h.crash(desired);
    expect(h.container("app")).toMatchObject({ restartCount: 1, state: { reason: "CrashLoopBackOff" } });
    await h.pass(3500);
    expect(h.liveIds("app")).toEqual([]);
    await h.pass(1000);
    expect(h.container("app")).toMatchObject({ restartCount: 2, state: { type: "running" } });
  });

  it("notices what ended while it was away", async () => {
    const desired = desiredPod({ restartPolicy: "Never" });
    await h.ensure(desired);
    await h.supervisor.close();
    h.driver.exit(h.live("app"), 7);
    await h.crash(desired);
    expect(h.container("app").state).toMatchObject({ type: "terminated", exitCode: 7, reason: "Error" });
    expect(h.pod().stage).toBe("completed");
  });

  it.each(["runSandbox", "createContainer", "startContainer", "removeContainer"] as const)(
    "finishes what was cut short in %s, with a number of its own",
    async (method) => {
      const desired = desiredPod();
      if (method === "removeContainer") {
        await h.ensure(desired);
        h.driver.hold(method);
        await h.exit("app", 1);
      } else {
        h.driver.hold(method);
        await h.ensure(desired);
      }
      await h.crash(desired);
      expect(h.container("app").state.type).toBe("running");
      expect(h.liveIds("app")).toHaveLength(1);
      const attempts = [...h.world.sandboxes.values()].flatMap(({ containers }) =>
        [...containers.values()].map(({ config }) => config.attempt),
      );
      expect(new Set(attempts).size).toBe(attempts.length);
    },
  );

  it("leaves a pod that has ended as it was", async () => {
    const desired = desiredPod({ restartPolicy: "Never" });
    await h.ensure(desired);
    await h.exit("app", 0);
    await h.crash(desired);
    expect(h.pod().stage).toBe("completed");
    expect(deeds()).toEqual([]);
    expect(h.container("app").state).toMatchObject({ exitCode: 0, reason: "Completed" });
  });

  it("restarts the containers whose spec changed meanwhile", async () => {
    await h.ensure(
      desiredPod({
        containers: [
          { name: "app", image: "app" },
          { name: "other", image: "app" },
        ],
      }),
    );
    const other = h.live("other");
    await h.crash(
      desiredPod({
        containers: [
          { name: "app", image: "app", args: ["-v"] },
          { name: "other", image: "app" },
        ],
      }),
    );
    expect(h.liveIds("other")).toEqual([other]);
    expect(h.container("app")).toMatchObject({ restartCount: 1, state: { type: "running" } });
  });

  it("takes over what runs even when its state database is new", async () => {
    const desired = desiredPod(INIT);
    await h.ensure(desired);
    await h.exit("one", 0);
    await h.exit("app", 1);
    const id = h.live("app");
    h.store.pods.remove(UID);
    await h.crash(desired);
    expect(h.liveIds("app")).toEqual([id]);
    expect(h.container("app")).toMatchObject({ restartCount: 1, state: { containerId: id } });
    await h.exit("app", 1);
    expect(h.live("app")).toMatch(/-app-2$/);
  });

  it("makes a new sandbox after a reboot, and counts on", async () => {
    const desired = desiredPod();
    await h.ensure(desired);
    h.driver.breakSandbox((await h.observed())[0]?.id ?? "");
    await h.supervisor.close();
    await h.crash(desired);
    expect((await h.observed()).map(({ id, state }) => [id, state])).toEqual([["0123456789ab-1", "ready"]]);
    expect(h.live("app")).toBe("0123456789ab-1-app-1");
    expect(h.container("app").restartCount).toBe(1);
  });
});
