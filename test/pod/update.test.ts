import { mkdirSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { podStatus } from "../../src/status.ts";
import { GantryError } from "../../src/system/errors.ts";
import { configMapOf, desiredPod, Harness, UID } from "./harness.ts";

let h: Harness;
beforeEach(() => {
  h = new Harness();
});
afterEach(() => h.close());

const app = (fields: object = {}) => ({ name: "app", image: "app", ...fields });
const other = { name: "other", image: "app" };

describe("a changed spec", () => {
  it("restarts nothing when only metadata changed", async () => {
    await h.ensure(desiredPod());
    const id = h.live("app");
    await h.ensure(desiredPod({}, { labels: { a: "b" } }));
    expect(h.live("app")).toBe(id);
    expect(h.pod().desired.pod.metadata.labels).toEqual({ a: "b" });
  });

  it("restarts only the container that changed", async () => {
    await h.ensure(desiredPod({ containers: [app(), other] }));
    const kept = h.live("other");
    await h.ensure(desiredPod({ containers: [app({ args: ["x"] }), other] }));
    expect(h.live("other")).toBe(kept);
    expect(h.container("app")).toMatchObject({ restartCount: 1, state: { type: "running" } });
  });

  it("leaves the old one running until the new image is there", async () => {
    await h.ensure(desiredPod());
    const id = h.live("app");
    await h.ensure(desiredPod({ containers: [app({ image: "app:2" })] }));
    expect(h.live("app")).toBe(id);
    expect(h.events.at(-1)).toMatchObject({
      reason: "Failed",
      message: "Error: container app: no registry has app:2: import it",
    });
    h.images.set("app:2", {});
    h.supervisor.imagesChanged();
    await h.settle();
    expect(h.container("app")).toMatchObject({
      restartCount: 1,
      imageDigest: "sha256:app:2",
      state: { type: "running" },
    });
  });

  it("ends a backoff", async () => {
    await h.ensure(desiredPod());
    await h.exit("app", 1);
    await h.exit("app", 1);
    expect(h.container("app").state).toMatchObject({ reason: "CrashLoopBackOff" });
    await h.ensure(desiredPod({ containers: [app({ args: ["x"] })] }));
    expect(h.container("app").state.type).toBe("running");
  });

  it("adds and removes containers", async () => {
    await h.ensure(desiredPod({ containers: [app()] }));
    const id = h.live("app");
    await h.ensure(desiredPod({ containers: [app(), other] }));
    expect(h.liveIds("other")).toHaveLength(1);
    await h.ensure(desiredPod({ containers: [app()] }));
    await h.pass(2000);
    expect(h.liveIds("other")).toEqual([]);
    expect(h.live("app")).toBe(id);
    await vi.waitFor(() => expect(h.store.containers.list(UID).map(({ name }) => name)).toEqual(["app"]));
  });

  it("300 times during a long grace: the old one lives its grace, the last one wins", async () => {
    h.behave = ({ attempt }) => (attempt === 0 ? { onSignal: () => "ignore" } : {});
    await h.ensure(desiredPod());
    for (let i = 0; i < 300; i++) {
      h.supervisor.ensure(desiredPod({ containers: [app({ args: [String(i)] })] }), UID, []);
      if (i % 20 === 0) await h.pass(1000);
    }
    await h.pass(31_000);
    const [run] = [...h.world.sandboxes.values()].flatMap(({ containers }) =>
      [...containers.values()].filter(({ state }) => state === "running"),
    );
    expect(run?.config.argv).toEqual(["/app", "299"]);
    expect(h.driver.calls.filter(({ method }) => method === "startContainer")).toHaveLength(2);
  });

  it("runs a completed pod again", async () => {
    await h.ensure(desiredPod({ restartPolicy: "Never" }));
    await h.exit("app", 0);
    await h.ensure(desiredPod({ restartPolicy: "Never", containers: [app({ args: ["x"] })] }));
    expect(h.container("app").state.type).toBe("running");
  });
});

describe("what a pod waits for", () => {
  it("a missing image: it says how to get it, and starts when it is there", async () => {
    const desired = desiredPod({ containers: [app({ image: "nope" }), other] });
    await h.ensure(desired);
    expect(h.pod()).toMatchObject({ stage: "preparing", problem: { reason: "ErrImagePull" } });
    const message = "no registry has nope: import it";
    expect(h.container("app").state).toMatchObject({ type: "waiting", reason: "ErrImagePull", message });
    h.images.set("nope", {});
    h.supervisor.imagesChanged();
    await h.settle();
    expect(h.pod()).toMatchObject({ stage: "running", problem: undefined });
  });

  it("with pull policy Never it is ErrImageNeverPull", async () => {
    await h.ensure(desiredPod({ containers: [app({ image: "nope", imagePullPolicy: "Never" })] }));
    expect(h.container("app").state).toMatchObject({ reason: "ErrImageNeverPull" });
  });

  it("a missing ConfigMap of a volume", async () => {
    await h.ensure(desiredPod({ volumes: [{ name: "v", configMap: { name: "settings" } }] }));
    expect(h.container("app").state).toMatchObject({
      reason: "ContainerCreating",
      message: expect.stringContaining("settings"),
    });
    expect(h.reasons()).toContain("FailedMount");
    h.configMaps.set("default/settings", configMapOf("settings", {}));
    h.supervisor.configChanged(UID);
    await h.settle();
    expect(h.pod().stage).toBe("running");
  });

  it("a missing ConfigMap of the environment: only that container waits", async () => {
    const env = [{ name: "A", valueFrom: { configMapKeyRef: { name: "settings", key: "a" } } }];
    await h.ensure(desiredPod({ containers: [app({ env }), other] }));
    expect(h.container("app").state).toMatchObject({
      reason: "CreateContainerConfigError",
      message: expect.stringContaining('configmap "settings" not found'),
    });
    expect(h.container("other").state.type).toBe("running");
    h.configMaps.set("default/settings", configMapOf("settings", { a: "1" }));
    await h.pass(11_000);
    expect(h.container("app")).toMatchObject({ state: { type: "running" }, restartCount: 0 });
  });

  it("drivers that fail are tried again with backoff", async () => {
    h.driver.failNext("runSandbox", new GantryError("network-failed", "no bridge"), 2);
    await h.ensure(desiredPod());
    expect(h.pod().problem).toMatchObject({ reason: "FailedCreatePodSandBox", message: "no bridge" });
    await h.pass(10_500);
    expect(h.pod().stage).toBe("preparing");
    await h.pass(20_500);
    expect(h.pod()).toMatchObject({ stage: "running", problem: undefined });
  });

  it("a container that can't be made is in CreateContainerError until it can", async () => {
    h.driver.failNext("createContainer", new GantryError("runtime-failed", "no space"));
    await h.ensure(desiredPod());
    expect(h.container("app").state).toMatchObject({ reason: "CreateContainerError", message: "no space" });
    await h.pass(11_000);
    expect(h.container("app")).toMatchObject({ state: { type: "running" }, restartCount: 0 });
  });
});

describe("decisions about the whole pod", () => {
  it("activeDeadlineSeconds ends it", async () => {
    await h.ensure(desiredPod({ activeDeadlineSeconds: 20 }));
    await h.pass(21_000);
    expect(h.pod()).toMatchObject({ stage: "completed", failure: { reason: "DeadlineExceeded" } });
    expect(podStatus(h.pod(), { ip: "192.0.2.1" })).toMatchObject({ phase: "Failed", reason: "DeadlineExceeded" });
    expect(h.liveIds("app")).toEqual([]);
  });

  it("an emptyDir over its limit evicts it", async () => {
    await h.ensure(desiredPod({ volumes: [{ name: "v", emptyDir: { sizeLimit: "1Mi" } }] }));
    h.volumeUsage = { v: 2 ** 21 };
    await h.pass(12_000);
    expect(h.pod()).toMatchObject({ stage: "completed", failure: { reason: "Evicted" } });
    expect(h.reasons()).toContain("Evicted");
  });

  it("what it may have on disk: emptyDirs, and what its containers wrote", async () => {
    const limits = { resources: { limits: { "ephemeral-storage": "1Mi" } } };
    await h.ensure(desiredPod({ containers: [app(limits)], volumes: [{ name: "v", emptyDir: {} }] }));
    await h.pass(12_000);
    expect(h.pod().stage).toBe("running");
    h.volumeUsage = { v: 2 ** 20 + 1 };
    await h.pass(12_000);
    expect(h.pod()).toMatchObject({
      stage: "completed",
      released: true,
      failure: {
        reason: "Evicted",
        message: "Pod ephemeral local storage usage exceeds the total limit of containers 1Mi.",
      },
    });
    expect(h.container("app").state).toMatchObject({ type: "terminated" });
    expect(h.volumesOf.size).toBe(0);
    await h.crash(h.pod().desired);
    expect(h.pod()).toMatchObject({ stage: "completed", failure: { reason: "Evicted" } });
  });

  it("an evicted pod has no grace, and no hook; one that has ended is not evicted", async () => {
    const hooked = app({ lifecycle: { preStop: { exec: { command: ["bye"] } } } });
    await h.ensure(desiredPod({ containers: [hooked], terminationGracePeriodSeconds: 600 }));
    h.supervisor.evict(UID, "The node was low on resource: memory.");
    await h.settle();
    expect(h.pod()).toMatchObject({ stage: "completed", failure: { reason: "Evicted" } });
    await h.ensure(desiredPod({ restartPolicy: "Never" }, { name: "done" }), "uid-done");
    h.supervisor.remove("uid-done");
    h.supervisor.evict("uid-done", "The node was low on resource: memory.");
    await h.settle();
    expect(h.supervisor.get("uid-done")?.failure).toBeUndefined();
  });

  it("a node under pressure takes no new pods, but keeps those that it took", async () => {
    await h.ensure(desiredPod());
    h.pressure = () => "The node had condition: [DiskPressure].";
    await h.ensure(desiredPod({}, { name: "new" }), "uid-new");
    expect(h.supervisor.get("uid-new")).toMatchObject({ stage: "preparing", problem: { reason: "NodeUnderPressure" } });
    h.driver.breakSandbox((await h.observed())[0]?.id ?? "");
    await h.pass(5000);
    expect(h.pod()).toMatchObject({ stage: "running", problem: undefined });
    h.pressure = () => undefined;
    h.supervisor.pressureSeen();
    await h.settle();
    expect(h.supervisor.get("uid-new")?.stage).toBe("running");
  });

  it("a restart that was asked for counts, waits for nothing, and comes under any policy", async () => {
    await h.ensure(desiredPod({ restartPolicy: "Never", containers: [app(), other] }));
    const kept = h.live("other");
    for (let i = 0; i < 3; i++) {
      h.supervisor.restart(UID, "app");
      await h.settle();
    }
    expect(h.container("app")).toMatchObject({ restartCount: 3, state: { type: "running" } });
    expect(h.live("other")).toBe(kept);
  });

  it("a restart survives the death of the daemon in between", async () => {
    const desired = desiredPod({ restartPolicy: "Never" });
    await h.ensure(desired);
    h.behave = () => ({});
    h.driver.hold("createContainer");
    h.supervisor.restart(UID);
    await h.settle();
    expect(h.liveIds("app")).toEqual([]);
    await h.crash(desired);
    expect(h.container("app")).toMatchObject({ restartCount: 1, state: { type: "running" } });
  });

  it("the end of the log is the message of a failed container that left none", async () => {
    await h.ensure(
      desiredPod({ restartPolicy: "Never", containers: [app({ terminationMessagePolicy: "FallbackToLogsOnError" })] }),
    );
    const [sandbox] = await h.observed();
    const path = sandbox?.containers[0]?.logPath ?? "";
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(
      path,
      "2026-01-01T00:00:00.0Z stdout F hello\n2026-01-01T00:00:00.1Z stderr P it bro\n2026-01-01T00:00:00.1Z stderr F ke\n",
    );
    await h.exit("app", 1);
    await vi.waitFor(() => expect(h.container("app").state).toMatchObject({ message: "hello\nit broke\n" }));
  });

  it("100 pods at once start a few at a time", async () => {
    let now = 0;
    let most = 0;
    const run = h.driver.runSandbox.bind(h.driver);
    h.driver.runSandbox = async (config, signal) => {
      most = Math.max(most, ++now);
      await new Promise((resolve) => setImmediate(resolve));
      now--;
      return run(config, signal);
    };
    for (let i = 0; i < 100; i++) h.supervisor.ensure(desiredPod({}, { name: `p${i}` }), `uid-${i}`, []);
    await vi.waitFor(() => expect(h.supervisor.list().filter(({ stage }) => stage === "running")).toHaveLength(100), {
      timeout: 10_000,
    });
    expect(most).toBeLessThanOrEqual(4);
  });
});
