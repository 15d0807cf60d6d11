import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { z } from "zod";
import { pidsOf, podText } from "./harness/sketch.ts";
import { eventually, runCli, startCli, type TestHost, testHost } from "./harness.ts";

let host: TestHost;
beforeAll(async () => {
  host = testHost();
  await host.startDaemon();
  host.write("web.yaml", podText("web"));
  await host.waitReady("web");
});
afterAll(() => host.dispose());

/** A command that goes on, with what it has printed so far. */
function start(...args: readonly string[]) {
  const child = startCli(args, { env: { GANTRY_ROOT: host.root } });
  let out = "";
  child.stdout?.on("data", (chunk: Buffer) => {
    out += chunk.toString();
  });
  const ended = new Promise<number | null>((resolve) => child.on("close", resolve));
  return { printed: () => out, ended, stop: () => child.kill("SIGINT") };
}

async function remove(name: string): Promise<void> {
  host.remove(`${name}.yaml`);
  await host.waitGone(name);
}

describe("status", () => {
  test("a table, and a wide one", async () => {
    const { stdout } = await host.gantry("status");
    expect(stdout).toMatch(
      /^NAME\s+READY\s+STATUS\s+RESTARTS\s+AGE\s+IP\s+RUNTIME\s*\nweb\s+1\/1\s+Running\s+0\s+\d+s\s+10\.\S+\s+namespace\s*\n$/,
    );
    expect((await host.gantry("status", "-o", "wide")).stdout).toContain(join(host.manifests, "web.yaml"));
  });

  test("-o json is a v1 PodList, -o yaml the same", async () => {
    const List = z
      .object({
        apiVersion: z.literal("v1"),
        kind: z.literal("PodList"),
        items: z.array(
          z
            .object({
              apiVersion: z.literal("v1"),
              kind: z.literal("Pod"),
              metadata: z.object({ name: z.string(), uid: z.uuid() }).loose(),
              status: z.object({ phase: z.literal("Running") }).loose(),
            })
            .loose(),
        ),
      })
      .loose();
    const list = List.parse(JSON.parse((await host.gantry("status", "-o", "json")).stdout));
    expect(list.items.map((pod) => pod.metadata.name)).toEqual(["web"]);
    expect((await host.gantry("status", "web", "-o", "yaml")).stdout).toMatch(/kind: PodList[\s\S]*name: web/);
  });

  test("--exit-code; a pod that is not there", async () => {
    expect((await host.gantry("status", "--exit-code")).code).toBe(0);
    host.write("no.yaml", podText("no", { image: "localhost/no:1" }));
    await host.waitFor("no", () => true, "there");
    expect((await host.gantry("status", "--exit-code")).code).toBe(1);
    await remove("no");
    expect((await host.gantry("status", "nobody")).code).toBe(3);
  });

  test("-w goes on", async () => {
    const watch = start("status", "-w");
    await eventually(() => watch.printed().includes("web"));
    host.write("seen.yaml", podText("seen"));
    await eventually(() => /seen.*Running/.test(watch.printed()), { explain: watch.printed });
    host.remove("seen.yaml");
    await eventually(() => /seen.*(Terminating|Deleted|Removed)/i.test(watch.printed()), { explain: watch.printed });
    watch.stop();
    expect(await watch.ended).toBeLessThanOrEqual(130);
    await host.waitGone("seen");
  });
});

describe("events and describe", () => {
  test("what happened to a pod, in order", async () => {
    const { stdout } = await host.gantry("events", "web");
    const reasons = [...stdout.matchAll(/Normal\s+(\w+)/g)].map(([, reason]) => reason);
    expect(reasons).toEqual(["Pulled", "Created", "Started"]);
    expect((await host.gantry("events", "--types", "Warning")).stdout).not.toContain("Started");
    const json: unknown = JSON.parse((await host.gantry("events", "web", "-o", "json")).stdout);
    expect(json).toMatchObject({ items: [{ reason: "Pulled", involvedObject: { kind: "Pod", name: "web" } }, {}, {}] });
  });

  test("-w prints what comes", async () => {
    const watch = start("events", "-w");
    await eventually(() => watch.printed().includes("Started"));
    host.write("later.yaml", podText("later"));
    await eventually(() => /Started\s+pod\/later/.test(watch.printed()), { explain: watch.printed });
    watch.stop();
    await watch.ended;
    await remove("later");
  });

  test("describe", async () => {
    const { stdout } = await host.gantry("describe", "web");
    for (const text of [
      "web",
      "Running",
      "Containers:",
      "app:",
      "localhost/gantry/sample:1",
      "Conditions:",
      "Ready",
      "Events:",
      "Started",
    ])
      expect(stdout).toContain(text);
  });
});

describe("wait", () => {
  test("for a pod that is yet to appear, then for its end", async () => {
    const ready = host.gantry("wait", "soon", "--for", "ready", "--timeout", "60s");
    host.write("soon.yaml", podText("soon"));
    expect(await ready).toMatchObject({ code: 0, stdout: "pod/soon is ready\n" });
    const deleted = host.gantry("wait", "soon", "--for", "deleted", "--timeout", "60s");
    host.remove("soon.yaml");
    expect(await deleted).toMatchObject({ code: 0, stdout: "pod/soon is deleted\n" });
  });

  test("for success; and it gives up early when that can't be any more", async () => {
    host.write("good.yaml", podText("good", { command: ["true"] }, { restartPolicy: "Never" }));
    expect(await host.gantry("wait", "good", "--for", "succeeded")).toMatchObject({ code: 0 });
    host.write("bad.yaml", podText("bad", { command: ["false"] }, { restartPolicy: "Never" }));
    const bad = await host.gantryWith({ timeoutMs: 50_000 }, "wait", "bad", "--for", "succeeded", "--timeout", "10m");
    expect([bad.code, bad.stderr]).toEqual([1, expect.stringContaining("bad")]);
    await remove("good");
    await remove("bad");
  });

  test("the time is up", async () => {
    const { code, stderr } = await host.gantry("wait", "nobody", "--timeout", "200ms");
    expect([code, stderr]).toEqual([1, expect.stringContaining("nobody")]);
  });
});

test("restart: other processes, one restart more, the same pod", async () => {
  const before = pidsOf(host.root, "web");
  const [old] = await host.pods();
  expect((await host.gantry("restart", "web")).code).toBe(0);
  const pod = await host.waitReady("web");
  expect(pidsOf(host.root, "web").some((pid) => before.includes(pid))).toBe(false);
  expect(pod.metadata.uid).toBe(old?.metadata.uid);
  expect(pod.status.containerStatuses[0]?.restartCount).toBe(1);
  expect((await host.gantry("status", "web")).stdout).toMatch(/web\s+1\/1\s+Running\s+1/);
});

describe("apply, plan and delete", () => {
  test("files come and go", async () => {
    const text = podText("applied");
    const plan = await host.gantryWith({ input: text }, "plan", "-");
    expect(plan.stdout + plan.stderr).toMatch(/applied/);
    expect((await host.pods()).some((pod) => pod.metadata.name === "applied")).toBe(false);
    const applied = await host.gantryWith({ input: text }, "apply", "-f", "-");
    expect([applied.code, applied.stdout]).toEqual([0, expect.stringMatching(/^pod\/applied created/)]);
    await host.waitReady("applied");
    const file = /\((.*)\)/.exec(applied.stdout)?.[1] ?? "";
    expect(readFileSync(file, "utf8")).toContain("applied");
    expect((await host.gantryWith({ input: text }, "apply", "-f", "-")).stdout).toMatch(/unchanged/);
    expect((await host.gantry("delete", "applied")).code).toBe(0);
    expect(existsSync(file)).toBe(false);
    expect((await host.pods()).map((pod) => pod.metadata.name)).toEqual(["web"]);
    expect((await host.gantry("delete", "applied")).code).toBe(3);
  });

  test("a broken one is refused, and nothing is written", async () => {
    const { code, stderr } = await host.gantryWith(
      { input: podText("broken").replace('"image"', '"imaeg"') },
      "apply",
      "-f",
      "-",
    );
    expect([code, stderr]).toEqual([1, expect.stringContaining("did you mean 'image'?")]);
    expect((await host.gantry("status", "--exit-code")).code).toBe(0);
  });

  test("plan without a daemon, and delete --all", async () => {
    await using other = testHost();
    other.write("one.yaml", podText("one"));
    other.write("two.yaml", podText("two"));
    const planned = await other.gantry("plan", other.manifests);
    expect(planned.stdout).toMatch(/one/);
    expect(planned.stdout).toMatch(/two/);
    await other.startDaemon();
    await other.waitReady("one");
    await other.waitReady("two");
    expect((await other.gantry("plan")).stdout + (await other.gantry("plan")).stderr).toMatch(/nothing|no change/i);
    expect((await other.gantry("delete", "--all")).code).toBe(0);
    expect(await other.pods()).toEqual([]);
  });
});

describe("this host", () => {
  test("config shows every setting and where it is from", async () => {
    const { stdout } = await host.gantryWith({ env: { GANTRY_LOG_LEVEL: "debug" } }, "config", "-o", "wide");
    expect(stdout).toMatch(/log\.level\s+debug\s+.*GANTRY_LOG_LEVEL/);
    const wrong = await host.gantryWith({ env: { GANTRY_LOG_LEVEL: "loud" } }, "config");
    expect([wrong.code, wrong.stderr]).toEqual([expect.any(Number), expect.stringMatching(/loud/)]);
    expect(wrong.code).not.toBe(0);
  });

  test("doctor finds everything that these tests need", async () => {
    const { stdout } = await host.gantry("doctor");
    for (const name of ["crun", "conmon", "nft", "cgroup"]) expect(stdout).toContain(name);
  });

  test("version, completion, help", async () => {
    expect((await host.gantry("version")).stdout).toMatch(/\d+\.\d+\.\d+[\s\S]*\d+\.\d+\.\d+/);
    for (const shell of ["bash", "zsh", "fish"])
      expect((await runCli(["completion", shell])).stdout).toContain("gantry");
    expect((await runCli(["--help"])).stdout).toContain("Exit codes");
    const pods = await host.gantry("__complete", "--", "logs", "w");
    expect(pods.stdout).toContain("web");
  });
});
