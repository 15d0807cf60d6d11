import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { podStatus } from "../../src/status.ts";
import { GantryError } from "../../src/system/errors.ts";
import { desiredPod, Harness, UID } from "./harness.ts";

let h: Harness;
beforeEach(() => {
  h = new Harness();
});
afterEach(() => h.close());

const phase = () => podStatus(h.pod(), { ip: "192.0.2.1" }).phase;

describe("a pod that is created", () => {
  it("runs, with the events a kubelet tells", async () => {
    await h.ensure(desiredPod());
    expect(h.pod()).toMatchObject({ stage: "running", sandbox: { ips: [expect.stringMatching(/^10\.88\./)] } });
    expect(h.container("app")).toMatchObject({
      ready: true,
      started: true,
      restartCount: 0,
      state: { type: "running" },
    });
    expect(h.reasons()).toEqual(["Pulling", "Pulled", "Created", "Started"]);
    expect(phase()).toBe("Running");
  });

  it("logs each run to its own file", async () => {
    await h.ensure(desiredPod());
    await h.exit("app", 1);
    const [sandbox] = await h.observed();
    expect(sandbox?.containers.map(({ logPath }) => logPath)).toContain(`${h.logs}/default_web_${UID}/app/1.log`);
  });

  it("needs no look at the driver before it is ready", async () => {
    h.driver.watch(() => {});
    await h.ensure(desiredPod());
    const before = h.driver.calls.findIndex(({ method }) => method === "startContainer");
    const looks = h.driver.calls.slice(0, before).filter(({ method }) => method === "list").length;
    // ensure() of the harness looks once, and each hint of the driver once; the machine itself never.
    expect(looks).toBeLessThanOrEqual(3);
  });
});

describe("a container that ends", () => {
  it.each([
    ["Always", 1, "running", 1],
    ["Always", 0, "running", 1],
    ["OnFailure", 1, "running", 1],
    ["OnFailure", 0, "terminated", 0],
    ["Never", 1, "terminated", 0],
    ["Never", 0, "terminated", 0],
  ])("under %s with exit code %i is %s with %i restarts", async (restartPolicy, code, state, restarts) => {
    await h.ensure(desiredPod({ restartPolicy }));
    await h.exit("app", code);
    expect(h.container("app")).toMatchObject({ state: { type: state }, restartCount: restarts });
    if (state === "terminated") {
      expect(h.pod()).toMatchObject({ stage: "completed", sandbox: undefined });
      expect(phase()).toBe(code === 0 ? "Succeeded" : "Failed");
      expect(h.world.sandboxes.size).toBe(1);
    }
  });

  it("starts again at 0, 10, 30, 70, 150, 310 s and then every 5 minutes", async () => {
    h.behave = () => ({ exitAfterMs: 0, exitCode: 1 });
    await h.ensure(desiredPod());
    const begun = h.clock.now();
    await h.pass(1_000_000, 1000);
    const starts = h.driver.calls.filter(({ method }) => method === "startContainer").length;
    expect(starts).toBe(2 + [10, 30, 70, 150, 310, 610, 910].length);
    expect(h.container("app").restartCount).toBe(starts - 1);
    expect(h.clock.now() - begun).toBe(1_000_000);
    expect(h.reasons()).toContain("BackOff");
  });

  it("says that it is in CrashLoopBackOff, and how it ended last", async () => {
    await h.ensure(desiredPod());
    await h.exit("app", 1);
    await h.exit("app", 3, { oom: true });
    expect(h.container("app")).toMatchObject({
      ready: false,
      state: {
        type: "waiting",
        reason: "CrashLoopBackOff",
        message: `back-off 10s restarting failed container=app pod=web_default(${UID})`,
      },
      lastTermination: { exitCode: 3, reason: "OOMKilled" },
    });
  });

  it("keeps the traces of one dead run at most", async () => {
    await h.ensure(desiredPod());
    for (let i = 0; i < 4; i++) {
      await h.exit("app", 1);
      await h.pass(300_000, 10_000);
    }
    const [sandbox] = await h.observed();
    expect(sandbox?.containers.map(({ attempt }) => attempt)).toEqual([4]);
  });

  it("that can't be made for want of its command has failed under Never", async () => {
    const missing = new GantryError("runtime-failed", "no such file", { details: { reason: "StartError" } });
    h.driver.failNext("createContainer", missing);
    await h.ensure(desiredPod({ restartPolicy: "Never" }));
    expect(h.container("app").state).toMatchObject({ type: "terminated", exitCode: 128, reason: "StartError" });
    expect(phase()).toBe("Failed");
  });

  it("that can't be started counts as a run with exit code 128", async () => {
    h.behave = () => ({ failsToStart: "exec: no such file" });
    await h.ensure(desiredPod({ restartPolicy: "Never" }));
    expect(h.container("app").state).toMatchObject({
      type: "terminated",
      exitCode: 128,
      reason: "StartError",
      message: "exec: no such file",
    });
    expect(phase()).toBe("Failed");
  });

  it("counts as a run, too, where the driver finds out as it makes it", async () => {
    const missing = new GantryError("runtime-failed", "no such file", { details: { reason: "StartError" } });
    h.driver.failNext("createContainer", missing);
    await h.ensure(desiredPod());
    await h.pass(40_000);
    expect(h.container("app")).toMatchObject({
      state: { type: "running" },
      restartCount: 1,
      lastTermination: { exitCode: 128, reason: "StartError", message: "no such file" },
    });
  });

  it("that can't be started is tried again with backoff under Always", async () => {
    h.behave = ({ attempt }) => (attempt < 3 ? { failsToStart: "no such file" } : {});
    await h.ensure(desiredPod());
    expect(h.container("app").state).toMatchObject({ type: "waiting", reason: "RunContainerError" });
    await h.pass(40_000);
    expect(h.container("app")).toMatchObject({ state: { type: "running" }, restartCount: 3 });
  });
});

describe("init containers", () => {
  const spec = {
    initContainers: [
      { name: "one", image: "app" },
      { name: "proxy", image: "app", restartPolicy: "Always" },
      { name: "two", image: "app" },
    ],
  };

  it("run one after the other, before the mains; sidecars stay", async () => {
    await h.ensure(desiredPod(spec));
    expect([h.liveIds("one"), h.liveIds("proxy"), h.liveIds("two")].map((ids) => ids.length)).toEqual([1, 0, 0]);
    expect(h.container("app").state).toMatchObject({ type: "waiting", reason: "PodInitializing" });
    await h.exit("one", 0);
    expect([h.liveIds("proxy"), h.liveIds("two"), h.liveIds("app")].map((ids) => ids.length)).toEqual([1, 1, 0]);
    await h.exit("two", 0);
    expect(h.liveIds("app")).toHaveLength(1);
    expect(h.pod().containers.every(({ ready }) => ready)).toBe(true);
  });

  it("that fail under Never make the pod fail", async () => {
    await h.ensure(desiredPod({ ...spec, restartPolicy: "Never" }));
    await h.exit("one", 1);
    expect(h.pod().stage).toBe("completed");
    expect(phase()).toBe("Failed");
    expect(h.liveIds("app")).toEqual([]);
  });

  it("that fail under Always are tried again", async () => {
    await h.ensure(desiredPod(spec));
    await h.exit("one", 1);
    expect(h.container("one")).toMatchObject({ restartCount: 1, state: { type: "running" } });
  });

  it("run again in a new sandbox", async () => {
    await h.ensure(desiredPod({ initContainers: [{ name: "one", image: "app" }] }));
    await h.exit("one", 0);
    const [sandbox] = await h.observed();
    h.driver.vanishSandbox(sandbox?.id ?? "");
    await h.settle();
    expect(h.container("one").state.type).toBe("running");
    expect(h.liveIds("app")).toEqual([]);
    await h.exit("one", 0);
    expect(h.container("app")).toMatchObject({ state: { type: "running" }, restartCount: 1 });
    expect(h.reasons()).toContain("SandboxChanged");
  });

  it("leave a sidecar to be stopped when the mains are done", async () => {
    await h.ensure(desiredPod({ ...spec, restartPolicy: "OnFailure" }));
    await h.exit("one", 0);
    await h.exit("two", 0);
    await h.exit("proxy", 1);
    expect(h.container("proxy")).toMatchObject({ restartCount: 1, state: { type: "running" } });
    await h.exit("app", 0);
    await h.pass(1000);
    expect(h.pod().stage).toBe("completed");
    expect(phase()).toBe("Succeeded");
    expect(h.liveIds("proxy")).toEqual([]);
  });
});

describe("what goes wrong behind our back", () => {
  it("a lost container is started again, and said to be unknown", async () => {
    await h.ensure(desiredPod());
    h.driver.loseContainer(h.live("app"));
    await h.settle();
    expect(h.container("app")).toMatchObject({
      restartCount: 1,
      state: { type: "running" },
      lastTermination: { exitCode: 137, reason: "ContainerStatusUnknown" },
    });
  });

  it("a damaged sandbox is replaced by another one", async () => {
    await h.ensure(desiredPod());
    const [before] = await h.observed();
    h.driver.breakSandbox(before?.id ?? "");
    h.look();
    await h.settle();
    const after = await h.observed();
    expect(after.map(({ attempt, state }) => ({ attempt, state }))).toEqual([{ attempt: 1, state: "ready" }]);
    expect(h.container("app").state.type).toBe("running");
  });

  it("what is wrong with a sandbox is in events and status, once", async () => {
    await h.ensure(desiredPod());
    const [{ id } = { id: "" }] = await h.observed();
    h.driver.troubleSandbox(id, "it does not answer");
    h.look();
    await h.settle();
    expect(h.pod().problem).toEqual({ reason: "SandboxNotResponding", message: "it does not answer" });
    h.driver.troubleSandbox(id, undefined);
    h.look();
    await h.settle();
    expect(h.pod()).toMatchObject({ problem: undefined, stage: "running" });
    h.driver.troubleSandbox(id, "its kernel crashed");
    h.driver.breakSandbox(id);
    h.look();
    await h.settle();
    expect(h.pod()).toMatchObject({ problem: undefined, stage: "running" });
    const told = h.reasons().filter((reason) => reason.startsWith("Sandbox"));
    expect(told.toSorted()).toEqual(["SandboxChanged", "SandboxFailed", "SandboxNotResponding"]);
  });

  it("is not repaired under Never: the pod fails", async () => {
    await h.ensure(desiredPod({ restartPolicy: "Never" }));
    h.driver.vanishSandbox((await h.observed())[0]?.id ?? "");
    await h.settle();
    expect(h.pod().stage).toBe("completed");
    expect(h.container("app").state).toMatchObject({ type: "terminated", reason: "ContainerStatusUnknown" });
    expect(phase()).toBe("Failed");
  });

  it("stale reports are not believed", async () => {
    await h.ensure(desiredPod());
    const stale = await h.observed();
    await h.exit("app", 1);
    const id = h.live("app");
    h.supervisor.observe(UID, stale);
    await h.settle();
    h.supervisor.observe(UID, []);
    await h.settle();
    expect(h.liveIds("app")).toEqual([id]);
    expect(h.container("app").restartCount).toBe(1);
  });

  it("a sandbox that is lost again and again is not remade in a tight loop", async () => {
    await h.ensure(desiredPod());
    for (let i = 0; i < 8; i++) {
      for (const { id } of await h.observed()) h.driver.vanishSandbox(id);
      await h.settle();
    }
    const made = h.driver.calls.filter(({ method }) => method === "runSandbox").length;
    expect(made).toBeLessThan(6);
    await h.pass(60_000);
    expect(h.container("app").state.type).not.toBe("terminated");
  });
});

describe("removal", () => {
  it("stops, removes every trace, and says so", async () => {
    await h.ensure(desiredPod());
    h.supervisor.remove(UID);
    await h.gone();
    expect(h.world.sandboxes.size).toBe(0);
    expect(h.volumesOf.size).toBe(0);
    expect(h.store.pods.list()).toEqual([]);
    expect(h.store.containers.list(UID)).toEqual([]);
    expect(h.changes.at(-1)).toEqual({ type: "removed", uid: UID, key: "default/web" });
    expect(h.reasons()).toContain("Killing");
  });

  it("gives an app that ignores TERM its grace, then kills it", async () => {
    h.behave = () => ({ onSignal: () => "ignore" });
    await h.ensure(desiredPod({ terminationGracePeriodSeconds: 20 }));
    h.supervisor.remove(UID);
    await h.pass(19_000);
    expect(h.liveIds("app")).toHaveLength(1);
    expect(h.pod()).toMatchObject({ stage: "stopping" });
    await h.pass(2000);
    await h.gone();
  });

  it("can be hurried, but not slowed down", async () => {
    h.behave = () => ({ onSignal: () => "ignore" });
    await h.ensure(desiredPod());
    h.supervisor.remove(UID);
    await h.pass(2000);
    h.supervisor.remove(UID, 60_000);
    await h.settle();
    const deadline = h.pod().deletionDeadline ?? 0;
    expect(deadline - h.clock.now()).toBe(28_000);
    h.supervisor.remove(UID, 1000);
    await h.pass(1500);
    await h.gone();
  });

  it("stops mains first, then sidecars in reverse", async () => {
    const sidecar = (name: string) => ({ name, image: "app", restartPolicy: "Always" });
    await h.ensure(
      desiredPod({
        initContainers: [sidecar("a"), sidecar("b")],
        containers: [
          { name: "x", image: "app" },
          { name: "y", image: "app" },
        ],
      }),
    );
    h.supervisor.remove(UID);
    await h.settle();
    const stopped = h.driver.calls
      .filter(({ method }) => method === "stopContainer")
      .map(({ args }) => String(args[1]).split("-").at(-2));
    expect(stopped).toEqual(["x", "y", "b", "a"]);
  });

  it("aborts a pod that is still starting", async () => {
    const release = h.driver.hold("createContainer");
    await h.ensure(desiredPod());
    h.supervisor.remove(UID);
    await h.gone();
    expect(h.world.sandboxes.size).toBe(0);
    release();
    await h.settle();
    expect(h.world.sandboxes.size).toBe(0);
  });

  it("is tried again until it works", async () => {
    await h.ensure(desiredPod());
    h.driver.failNext("removeSandbox", new GantryError("runtime-failed", "busy"), 3);
    h.driver.failNext("stopContainer", new GantryError("runtime-failed", "busy"), 2);
    h.supervisor.remove(UID);
    await h.settle();
    expect(h.pod().stage).toBe("stopping");
    await h.pass(30_000);
    await h.gone();
    expect(h.world.sandboxes.size).toBe(0);
  });

  it("keeps its deadline over a restart of the daemon", async () => {
    h.behave = () => ({ onSignal: () => "ignore" });
    const desired = desiredPod();
    await h.ensure(desired);
    h.supervisor.remove(UID);
    await h.pass(10_000);
    const deadline = h.pod().deletionDeadline;
    await h.crash(desired);
    h.supervisor.remove(UID);
    await h.settle();
    expect(h.pod()).toMatchObject({ stage: "stopping", deletionDeadline: deadline });
    await h.pass(21_000);
    await h.gone();
  });
});
