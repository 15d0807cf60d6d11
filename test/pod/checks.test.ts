import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { desiredPod, Harness, UID } from "./harness.ts";

/** Probes and hooks as the pod machine lives with them, on a clock that stands still until told. */
let h: Harness;
beforeEach(() => {
  h = new Harness();
});
afterEach(() => h.close());

const exec = (name: string): object => ({ exec: { command: [name] } });
const app = (fields: object, more: object = {}) =>
  desiredPod({ containers: [{ name: "app", image: "app", ...fields }], terminationGracePeriodSeconds: 30, ...more });
const ready = (): boolean => h.container("app").ready;
const stops = (): number[] =>
  h.driver.calls
    .filter(({ method }) => method === "stopContainer")
    .map(({ args }) => (args[2] as { graceMs: number }).graceMs);

describe("readiness", () => {
  it("comes with the first success, goes after three failures, and restarts nothing", async () => {
    let well = false;
    h.prober.answer = () => (well ? "success" : "failure");
    await h.ensure(app({ readinessProbe: { ...exec("ready"), initialDelaySeconds: 3, periodSeconds: 5 } }));
    expect(h.prober.asked).toEqual([]);
    await h.pass(10_000);
    expect(h.prober.timesOf("ready")).toEqual([3, 8]);
    expect(h.pod().stage).toBe("running");
    expect(ready()).toBe(false);
    expect(h.container("app").started).toBe(true);
    well = true;
    await h.pass(5000);
    expect(ready()).toBe(true);
    const readyAt = h.container("app").checkedAt;
    well = false;
    await h.pass(12_000);
    expect(ready()).toBe(true);
    await h.pass(2000);
    expect(ready()).toBe(false);
    expect(h.container("app").checkedAt).toBe((readyAt ?? 0) + 15_000);
    await h.pass(60_000);
    expect(h.container("app").restartCount).toBe(0);
    expect(h.reasons()).toContain("Unhealthy");
  });

  it("is kept over a restart of the daemon, and asked for again within a period", async () => {
    const desired = app({ readinessProbe: { ...exec("ready"), periodSeconds: 10 } });
    await h.ensure(desired);
    await h.pass(1000);
    expect(ready()).toBe(true);
    await h.pass(60_000);
    const before = h.prober.asked.length;
    await h.crash(desired);
    expect(ready()).toBe(true);
    h.prober.answer = () => "failure";
    await h.pass(10_000);
    expect(h.prober.asked.length).toBeGreaterThan(before);
    expect(ready()).toBe(true);
    await h.pass(20_000);
    expect(ready()).toBe(false);
  });

  it("starts anew with every run", async () => {
    await h.ensure(app({ readinessProbe: exec("ready") }));
    await h.pass(1000);
    expect(ready()).toBe(true);
    h.prober.answer = () => "failure";
    await h.exit("app", 1);
    expect(h.container("app").state.type).toBe("running");
    expect(ready()).toBe(false);
  });

  it("goes on while the pod is being deleted; liveness does not", async () => {
    h.behave = () => ({ onSignal: () => "ignore" });
    await h.ensure(
      app({
        readinessProbe: { ...exec("ready"), periodSeconds: 1 },
        livenessProbe: { ...exec("live"), periodSeconds: 1 },
      }),
    );
    await h.pass(3000);
    h.supervisor.remove(UID);
    await h.settle();
    const [readiness, liveness] = [h.prober.timesOf("ready").length, h.prober.timesOf("live").length];
    h.prober.answer = () => "failure";
    await h.pass(10_000);
    expect(h.prober.timesOf("ready").length).toBeGreaterThanOrEqual(readiness + 9);
    expect(h.prober.timesOf("live").length).toBe(liveness);
    expect(ready()).toBe(false);
    await h.pass(25_000);
    await h.gone();
  });
});

describe("liveness", () => {
  it("kills after three failures, holds until the container is another, and backs off", async () => {
    h.prober.answer = () => "failure";
    await h.ensure(app({ livenessProbe: { ...exec("live"), periodSeconds: 10, terminationGracePeriodSeconds: 7 } }));
    await h.pass(19_000);
    expect(h.container("app").restartCount).toBe(0);
    await h.pass(2000);
    expect(h.prober.timesOf("live").slice(0, 3)).toEqual([0, 10, 20]);
    expect(stops()).toEqual([7000]);
    expect(h.events).toContainEqual({
      type: "Normal",
      reason: "Killing",
      message: "Container app failed liveness probe, will be restarted",
    });
    expect(h.container("app")).toMatchObject({ restartCount: 1, lastTermination: { exitCode: 143 } });
  });

  it("is not asked while what it failed is being stopped", async () => {
    h.behave = () => ({ onSignal: () => "ignore" });
    h.prober.answer = () => "failure";
    await h.ensure(app({ livenessProbe: { ...exec("live"), periodSeconds: 1, failureThreshold: 1 } }));
    await h.pass(20_000);
    expect(h.prober.asked).toHaveLength(1);
    expect(h.container("app").state.type).toBe("running");
    await h.pass(12_000);
    expect(h.container("app").lastTermination).toMatchObject({ exitCode: 137 });
  });

  it.each([
    ["OnFailure", 1, "running"],
    ["Never", 0, "terminated"],
  ] as const)("under %s, when the app ends with 0", async (restartPolicy, restarts, type) => {
    h.behave = () => ({ onSignal: () => 0 });
    h.prober.answer = () => (h.prober.asked.length === 1 ? "failure" : "success");
    await h.ensure(app({ livenessProbe: { ...exec("live"), failureThreshold: 1 } }, { restartPolicy }));
    await h.pass(2000);
    expect(h.container("app")).toMatchObject({ restartCount: restarts, state: { type } });
  });

  it("does not mind a prober's own error, nor what is said below the threshold", async () => {
    const answers = ["failure", "failure", "success", "failure", "unknown", "failure", "success"] as const;
    h.prober.answer = () => answers[h.prober.asked.length - 1] ?? "success";
    await h.ensure(app({ livenessProbe: { ...exec("live"), periodSeconds: 1 } }));
    await h.pass(15_000);
    expect(h.container("app").restartCount).toBe(0);
  });

  it("is asked at the pod's address, or the node's", async () => {
    const fields = {
      ports: [{ name: "web", containerPort: 80 }],
      livenessProbe: { httpGet: { port: "web", path: "/ok" } },
    };
    await h.ensure(app(fields));
    await h.ensure(app(fields, { hostNetwork: true }), "ffffffffffff-cdef-0123-456789abcdef");
    await h.pass(1000);
    expect(h.prober.timesOf(`${h.pod().sandbox?.ips[0]}:80/ok`)).toEqual([0]);
    expect(h.prober.timesOf("192.0.2.1:80/ok")).toEqual([0]);
  });
});

describe("startup", () => {
  it("gates the others, and is not asked once it has passed", async () => {
    h.prober.answer = (name) => (name === "start" && h.prober.seconds < 12 ? "failure" : "success");
    await h.ensure(
      app({
        startupProbe: { ...exec("start"), periodSeconds: 5, failureThreshold: 10 },
        readinessProbe: exec("ready"),
        livenessProbe: exec("live"),
      }),
    );
    await h.pass(12_000);
    expect(h.prober.asked).toEqual(["0 start", "5 start", "10 start"]);
    expect(h.container("app")).toMatchObject({ started: false, ready: false });
    await h.pass(4000);
    expect(h.container("app")).toMatchObject({ started: true, ready: true });
    expect(h.prober.timesOf("ready")).toEqual([15]);
    await h.pass(30_000);
    expect(h.prober.timesOf("start")).toEqual([0, 5, 10, 15]);
  });

  it("kills when it never passes", async () => {
    h.prober.answer = () => "failure";
    await h.ensure(app({ startupProbe: { ...exec("start"), periodSeconds: 2, failureThreshold: 3 } }));
    await h.pass(5000);
    expect(h.container("app").restartCount).toBe(1);
    expect(h.reasons().filter((reason) => reason === "Killing")).toHaveLength(1);
  });
});

describe("sidecars", () => {
  const pod = (sidecar: object) =>
    desiredPod({
      initContainers: [{ name: "side", image: "app", restartPolicy: "Always", ...sidecar }],
      containers: [{ name: "app", image: "app" }],
    });

  it("let the next one go when their startup probe has passed; their readiness counts", async () => {
    h.prober.answer = (name) => (name === "start" && h.prober.seconds < 8 ? "failure" : "success");
    await h.ensure(
      pod({
        startupProbe: { ...exec("start"), periodSeconds: 4 },
        readinessProbe: { ...exec("ready"), initialDelaySeconds: 30 },
      }),
    );
    await h.pass(7000);
    expect(h.pod().stage).toBe("initializing");
    expect(h.container("app").state).toMatchObject({ type: "waiting", reason: "PodInitializing" });
    await h.pass(2000);
    expect(h.container("app").state.type).toBe("running");
    expect(h.container("side")).toMatchObject({ started: true, ready: false });
    await h.pass(25_000);
    expect(h.container("side").ready).toBe(true);
  });

  it("let the next one go when their postStart hook is done", async () => {
    h.prober.hook = () => 5000;
    await h.ensure(pod({ lifecycle: { postStart: exec("hook") } }));
    await h.pass(4000);
    expect(h.container("app").state.type).toBe("waiting");
    await h.pass(2000);
    expect(h.container("app").state.type).toBe("running");
  });
});

describe("postStart", () => {
  it("runs beside the app, keeps it from counting as running, and holds back those after it", async () => {
    h.prober.hook = () => 5000;
    await h.ensure(
      desiredPod({
        containers: [
          { name: "app", image: "app", lifecycle: { postStart: exec("hook") }, readinessProbe: exec("ready") },
          { name: "next", image: "app" },
        ],
      }),
    );
    expect(h.liveIds("app")).toHaveLength(1);
    expect(h.container("app").state).toEqual({
      type: "waiting",
      reason: "ContainerCreating",
      containerId: h.live("app"),
    });
    expect(h.liveIds("next")).toEqual([]);
    await h.pass(4000);
    expect(h.prober.asked).toEqual(["0 hook"]);
    await h.pass(2000);
    expect(h.container("app")).toMatchObject({ started: true, ready: true, state: { type: "running" } });
    expect(h.prober.asked).toEqual(["0 hook", "5 ready"]);
    expect(h.liveIds("next")).toHaveLength(1);
  });

  it("kills the container when it fails: PostStartHookError, then backoff", async () => {
    h.prober.hook = () => new Error("no luck");
    await h.ensure(app({ lifecycle: { postStart: exec("hook") } }));
    await h.pass(1000);
    const { state, restartCount } = h.container("app");
    expect(state).toMatchObject({ type: "waiting", reason: "PostStartHookError" });
    expect(state).toHaveProperty("message", expect.stringContaining("no luck"));
    expect(restartCount).toBe(1);
    expect(h.reasons()).toContain("FailedPostStartHook");
    expect(h.events.map(({ message }) => message)).toContain(
      "Container app failed its postStart hook, will be restarted",
    );
    h.prober.hook = () => 0;
    await h.pass(11_000);
    expect(h.container("app").state.type).toBe("running");
  });

  it("is run again by a daemon that was killed meanwhile, and not when it was done", async () => {
    const desired = app({ lifecycle: { postStart: exec("hook") } });
    h.prober.hook = () => 5000;
    await h.ensure(desired);
    await h.pass(1000);
    await h.crash(desired);
    await h.pass(6000);
    expect(h.prober.timesOf("hook")).toEqual([0, 1]);
    expect(h.container("app").state.type).toBe("running");
    await h.crash(desired);
    expect(h.prober.timesOf("hook")).toHaveLength(2);
  });

  it("is called off when the app ends", async () => {
    h.prober.hook = () => 60_000;
    await h.ensure(app({ lifecycle: { postStart: exec("hook") } }, { restartPolicy: "Never" }));
    await h.exit("app", 4);
    expect(h.container("app").state).toMatchObject({ type: "terminated", exitCode: 4 });
    expect(h.reasons()).not.toContain("FailedPostStartHook");
  });
});

describe("preStop", () => {
  it("comes first when the pod is deleted, and its time is deducted from the grace", async () => {
    h.prober.hook = () => 10_000;
    await h.ensure(app({ lifecycle: { preStop: exec("bye") } }));
    h.supervisor.remove(UID);
    await h.settle();
    await h.pass(9000);
    expect(stops()).toEqual([]);
    await h.pass(2000);
    expect(stops()).toEqual([20_000]);
    await h.gone();
  });

  it("that does not end in time is called off; 2 s are left for the app", async () => {
    h.prober.hook = () => 100_000;
    await h.ensure(app({ lifecycle: { preStop: exec("bye") } }));
    h.supervisor.remove(UID);
    await h.settle();
    await h.pass(31_000);
    expect(stops()).toEqual([2000]);
    await h.gone();
  });

  it("all run at once; sidecars are stopped after the mains", async () => {
    h.prober.hook = (name) => (name === "long" ? 8000 : 3000);
    h.behave = ({ name }) => (name === "app" ? { onSignal: () => "ignore" } : {});
    await h.ensure(
      desiredPod({
        terminationGracePeriodSeconds: 20,
        initContainers: [
          { name: "side", image: "app", restartPolicy: "Always", lifecycle: { preStop: exec("short") } },
        ],
        containers: [{ name: "app", image: "app", lifecycle: { preStop: exec("long") } }],
      }),
    );
    h.supervisor.remove(UID);
    await h.settle();
    expect(h.prober.asked).toEqual(expect.arrayContaining(["0 long", "0 short"]));
    await h.pass(9000);
    expect(stops()).toEqual([12_000]);
    await h.pass(12_000);
    expect(stops()[0]).toBe(12_000);
    expect(stops().at(-1)).toBe(2000);
    await h.gone();
  });

  it("does not run at a grace of 0, nor when the app ends by itself", async () => {
    await h.ensure(app({ lifecycle: { preStop: exec("bye") } }));
    await h.exit("app", 0);
    h.supervisor.remove(UID, 0);
    await h.settle();
    await h.gone();
    expect(h.prober.asked).toEqual([]);
  });

  it("runs before a changed container is replaced: the hook of the old one", async () => {
    await h.ensure(app({ lifecycle: { preStop: exec("old") } }));
    await h.ensure(app({ lifecycle: { preStop: exec("new") } }));
    await h.pass(1000);
    expect(h.prober.asked).toEqual(["0 old"]);
    expect(h.container("app")).toMatchObject({ restartCount: 1, state: { type: "running" } });
  });

  it("that fails is told of, and the app is stopped all the same", async () => {
    h.prober.hook = () => new Error("no luck");
    await h.ensure(app({ lifecycle: { preStop: exec("bye") } }));
    h.supervisor.restart(UID);
    await h.pass(1000);
    expect(h.reasons()).toContain("FailedPreStopHook");
    expect(h.container("app")).toMatchObject({ restartCount: 1, state: { type: "running" } });
  });
});
