import fc from "fast-check";
import { afterEach, describe, expect, it, vi } from "vitest";
import type { DesiredPod } from "../../src/pod/index.ts";
import type { DriverMethod } from "../../src/sandbox/memory/index.ts";
import { GantryError } from "../../src/system/errors.ts";
import { configMapOf, desiredPod, Harness, UID } from "./harness.ts";

/** Whatever happens to a pod, in whatever order, it ends up as its manifest wants it. */

type Policy = "Always" | "OnFailure" | "Never";
const NAMES = ["init", "side", "app", "other"] as const;
const FALLIBLE = [
  "runSandbox",
  "stopSandbox",
  "removeSandbox",
  "createContainer",
  "startContainer",
  "stopContainer",
  "removeContainer",
  "list",
] as const;

type Step =
  | { readonly type: "exit"; readonly name: (typeof NAMES)[number]; readonly code: number }
  | { readonly type: "lose"; readonly name: (typeof NAMES)[number] }
  | { readonly type: "vanish" | "break" | "crash" | "config" | "look" | "stale" }
  | { readonly type: "update"; readonly version: number; readonly name: "app" | "other" | "side" }
  | { readonly type: "restart"; readonly name: string | undefined }
  | { readonly type: "fail"; readonly method: DriverMethod; readonly times: number }
  | { readonly type: "pass"; readonly ms: number };

const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ type: fc.constant("exit" as const), name: fc.constantFrom(...NAMES), code: fc.constantFrom(0, 1, 137) }),
  fc.record({ type: fc.constant("lose" as const), name: fc.constantFrom(...NAMES) }),
  fc.record({
    type: fc.constantFrom(
      "vanish" as const,
      "break" as const,
      "crash" as const,
      "config" as const,
      "look" as const,
      "stale" as const,
    ),
  }),
  fc.record({
    type: fc.constant("update" as const),
    version: fc.nat(5),
    name: fc.constantFrom("app" as const, "other" as const, "side" as const),
  }),
  fc.record({ type: fc.constant("restart" as const), name: fc.constantFrom(undefined, "app", "side") }),
  fc.record({
    type: fc.constant("fail" as const),
    method: fc.constantFrom(...FALLIBLE),
    times: fc.integer({ min: 1, max: 2 }),
  }),
  fc.record({ type: fc.constant("pass" as const), ms: fc.constantFrom(1000, 15_000, 400_000) }),
);

class Story {
  readonly h = new Harness();
  readonly policy: Policy;
  readonly versions: Record<string, number> = {};
  desired: DesiredPod;
  stale = this.h.observed();
  /** Of init containers that were seen to succeed: their sandboxes. */
  readonly initialized = new Set<string>();

  constructor(policy: Policy) {
    this.policy = policy;
    this.desired = this.wanted();
  }

  wanted(): DesiredPod {
    const container = (name: string, more: object = {}) => ({
      name,
      image: "app",
      args: [String(this.versions[name] ?? 0)],
      ...more,
    });
    const env = [{ name: "A", valueFrom: { configMapKeyRef: { name: "settings", key: "a" } } }];
    return desiredPod({
      restartPolicy: this.policy,
      terminationGracePeriodSeconds: 3,
      initContainers: [container("init"), container("side", { restartPolicy: "Always" })],
      containers: [container("app", { env }), container("other")],
    });
  }

  async take(one: Step): Promise<void> {
    const { h } = this;
    switch (one.type) {
      case "exit": {
        const [id] = h.liveIds(one.name);
        if (id !== undefined) h.driver.exit(id, one.code);
        break;
      }
      case "lose": {
        const [id] = h.liveIds(one.name);
        if (id !== undefined) h.driver.loseContainer(id);
        break;
      }
      case "vanish":
      case "break":
        for (const { id } of await h.observed())
          one.type === "vanish" ? h.driver.vanishSandbox(id) : h.driver.breakSandbox(id);
        h.look();
        break;
      case "crash":
        await h.crash(this.desired);
        this.stale = h.observed();
        break;
      case "config":
        if (h.configMaps.size > 0) h.configMaps.clear();
        else h.configMaps.set("default/settings", configMapOf("settings", { a: "1" }));
        h.supervisor.configChanged(UID);
        break;
      case "look":
        h.look();
        break;
      case "stale":
        h.supervisor.observe(UID, await this.stale);
        this.stale = h.observed();
        break;
      case "update":
        this.versions[one.name] = one.version;
        this.desired = this.wanted();
        h.supervisor.ensure(this.desired, UID, []);
        break;
      case "restart":
        h.supervisor.restart(UID, one.name);
        break;
      case "fail":
        h.driver.failNext(one.method, new GantryError("runtime-failed", "as told"), one.times);
        break;
      case "pass":
        await h.pass(one.ms);
        break;
    }
    for (let i = 0; i < 15; i++) await new Promise<void>((resolve) => setImmediate(resolve));
    this.check();
  }

  /** What must hold at every moment. */
  check(): void {
    const { h } = this;
    for (const name of NAMES) expect(h.liveIds(name).length, `live runs of ${name}`).toBeLessThanOrEqual(1);
    expect([...h.world.sandboxes.values()].filter(({ state }) => state === "ready").length).toBeLessThanOrEqual(1);
  }

  /** What must hold of the whole story, from the calls that reached the driver. */
  audit(calls: Harness["driver"]["calls"]): void {
    const made = calls
      .filter(({ method }) => method === "createContainer")
      .map(({ args }) => args[1] as { id: string; logPath: string });
    expect(new Set(made.map(({ logPath }) => logPath)).size, "log files are never reused").toBe(made.length);
    const sandboxes = calls
      .filter(({ method }) => method === "runSandbox")
      .map(({ args }) => (args[0] as { id: string }).id);
    expect(new Set(sandboxes).size, "sandbox ids are never reused").toBe(sandboxes.length);
  }

  /** Initializations that were done are not done again in the same sandbox. */
  noteInits(): void {
    for (const [id, { containers }] of this.h.world.sandboxes) {
      for (const { config, state, exitCode } of containers.values()) {
        if (config.name !== "init") continue;
        if (state === "exited" && exitCode === 0) this.initialized.add(id);
        if (state === "running") expect(this.initialized.has(id), `init reruns in ${id}`).toBe(false);
      }
    }
  }
}

let story: Story | undefined;
afterEach(async () => {
  await story?.h.close();
  story = undefined;
});

describe("whatever happens", () => {
  it("the pod becomes what its manifest wants, and nothing is left when it goes", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom<Policy>("Always", "OnFailure", "Never"),
        fc.array(step, { minLength: 1, maxLength: 14 }),
        async (policy, steps) => {
          await story?.h.close();
          story = new Story(policy);
          const { h } = story;
          h.configMaps.set("default/settings", configMapOf("settings", { a: "1" }));
          // Init containers do their work at once, so that a story gets to the mains.
          h.behave = ({ name }) => (name === "init" ? { exitAfterMs: 100 } : {});
          const calls: Harness["driver"]["calls"][number][] = [];
          let driver = h.driver;
          h.supervisor.ensure(story.desired, UID, []);
          await h.pass(1000);
          for (const one of steps) {
            await story.take(one);
            story.noteInits();
            if (driver !== h.driver) {
              calls.push(...driver.calls);
              driver = h.driver;
            }
          }
          // From here on nothing bad happens any more.
          h.configMaps.set("default/settings", configMapOf("settings", { a: "1" }));
          h.supervisor.configChanged(UID);
          for (let i = 0; i < 4; i++) {
            h.look();
            await h.pass(400_000, 5000);
            story.check();
            story.noteInits();
          }
          story.audit([...calls, ...driver.calls]);
          await expectConverged(story);
          h.supervisor.remove(UID);
          await vi.waitFor(
            async () => {
              await h.pass(2000);
              expect(h.get()).toBeUndefined();
            },
            { timeout: 20_000, interval: 5 },
          );
          expect(h.world.sandboxes.size).toBe(0);
          expect(h.store.pods.list()).toEqual([]);
          expect(h.store.containers.list(UID)).toEqual([]);
        },
      ),
      { numRuns: Number(process.env["GANTRY_PROPERTY_RUNS"] ?? 40), endOnFailure: true },
    );
  }, 300_000);
});

async function expectConverged({ h, policy, versions }: Story): Promise<void> {
  const state = h.pod();
  const running = [...h.world.sandboxes.values()].flatMap(({ containers }) =>
    [...containers.values()].filter((container) => container.state === "running"),
  );
  if (state.stage === "completed") {
    expect(policy, "a pod that restarts everything never ends").not.toBe("Always");
    expect(running).toEqual([]);
    return;
  }
  expect(state.stage).toBe("running");
  for (const name of ["side", "app", "other"] as const) {
    const container = h.container(name);
    const live = running.filter(({ config }) => config.name === name);
    if (container.state.type === "terminated") {
      expect(policy).not.toBe("Always");
      expect(live).toEqual([]);
    } else {
      expect(container).toMatchObject({ ready: true, state: { type: "running" } });
      expect(live.map(({ config }) => config.argv.at(-1))).toEqual([String(versions[name] ?? 0)]);
    }
  }
}
