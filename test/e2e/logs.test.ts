import { readdirSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { FOREVER, podOf, podText } from "./harness/sketch.ts";
import { eventually, RUNTIME_CLASSES, startCli, type TestHost, testHost } from "./harness.ts";

let host: TestHost;
const logs = async (...args: readonly string[]): Promise<string> => (await host.gantry("logs", ...args)).stdout;

async function remove(name: string): Promise<void> {
  host.remove(`${name}.yaml`);
  await host.waitGone(name);
}

describe.each(RUNTIME_CLASSES)("%s", (runtimeClass) => {
  beforeAll(async () => {
    host = testHost({ runtimeClass });
    await host.startDaemon({ args: ["--set", "logs.maxSizeBytes=64Ki", "--set", "logs.maxFiles=20"] });
  });
  afterAll(() => host.dispose());

  test("both streams, --tail, --timestamps, --since, several containers", async () => {
    const many = "for i in $(seq 1 50); do echo line $i; done; echo oops >&2; printf 'no newline'";
    host.write(
      "talk.yaml",
      podOf("talk", [
        { name: "one", command: ["sh", "-c", `${many}; ${FOREVER[2]}`] },
        { name: "two", command: ["sh", "-c", `echo second; ${FOREVER[2]}`] },
      ]),
    );
    await host.waitReady("talk");
    await eventually(async () => (await logs("talk", "-c", "one")).endsWith("no newline"), {
      explain: () => logs("talk", "-c", "one"),
    });
    const all = (await logs("talk", "-c", "one")).split("\n");
    expect(all.filter((line) => line.startsWith("line"))).toHaveLength(50);
    expect(all).toContain("oops");
    expect((await logs("talk", "-c", "one", "--tail", "3")).split("\n").length).toBeLessThanOrEqual(4);
    expect(await logs("talk", "-c", "one", "--tail", "0")).toBe("");
    expect(await logs("talk", "-c", "two", "--timestamps")).toMatch(
      /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+\S* second\n$/,
    );
    expect(await logs("talk", "-c", "two", "--since", "1h")).toBe("second\n");
    const first = await host.gantry("logs", "talk");
    expect([first.code, first.stderr]).toEqual([expect.any(Number), expect.stringMatching(/one.*two|-c/s)]);
    const wrong = await host.gantry("logs", "talk", "-c", "three");
    expect([wrong.code, wrong.stderr]).toEqual([3, expect.stringContaining("three")]);
    await remove("talk");
  });

  test("--previous is the run before", async () => {
    host.write(
      "crash.yaml",
      podText(
        "crash",
        {
          command: [
            "sh",
            "-c",
            "if [ -e /data/x ]; then echo again; exec sleep infinity; fi; touch /data/x; echo first; exit 7",
          ],
          volumeMounts: [{ name: "d", mountPath: "/data" }],
        },
        { volumes: [{ name: "d", emptyDir: {} }], terminationGracePeriodSeconds: 0 },
      ),
    );
    await host.waitFor(
      "crash",
      ({ status }) =>
        status.containerStatuses[0]?.restartCount === 1 && status.containerStatuses[0].state.running !== undefined,
      "restarted",
    );
    await eventually(async () => (await logs("crash")) === "again\n");
    expect(await logs("crash", "--previous")).toBe("first\n");
    await remove("crash");
  });

  test("-f ends with the container", async () => {
    host.write(
      "ends.yaml",
      podText(
        "ends",
        { command: ["sh", "-c", "for i in 1 2 3 4 5; do echo $i; sleep 0.2; done"] },
        { restartPolicy: "Never" },
      ),
    );
    await host.waitFor("ends", ({ status }) => status.phase !== "Pending", "started");
    const { code, stdout } = await host.gantry("logs", "-f", "ends");
    expect([code, stdout]).toEqual([0, "1\n2\n3\n4\n5\n"]);
    await remove("ends");
  });

  test("a fast writer over many rotations: -f and the files lose no line", async () => {
    const [rounds, lines] = [50, 1_000];
    host.write(
      "fast.yaml",
      podText("fast", {
        command: [
          "sh",
          "-c",
          `for r in $(seq 1 ${rounds}); do seq 1 ${lines}; sleep 0.5; done; echo end; ${FOREVER[2]}`,
        ],
      }),
    );
    await host.waitReady("fast");
    const follower = startCli(["logs", "-f", "fast"], { env: { GANTRY_ROOT: host.root } });
    let followed = "";
    follower.stdout?.on("data", (chunk: Buffer) => {
      followed += chunk.toString();
    });
    try {
      await eventually(() => followed.endsWith("end\n"), {
        what: "the last line",
        deadlineMs: 90_000,
        explain: () => followed.slice(-200),
      });
    } finally {
      follower.kill("SIGINT");
    }
    const round = Array.from({ length: lines }, (_, index) => `${index + 1}\n`).join("");
    const expected = `${round.repeat(rounds)}end\n`;
    expect(followed.length).toBe(expected.length);
    expect(followed === expected).toBe(true);
    const [pod] = readdirSync(host.paths.podLogs).filter((name) => name.includes("_fast_"));
    const files = (): string[] => readdirSync(join(host.paths.podLogs, pod ?? "", "app"));
    await eventually(() => files().length > 2, { what: "rotations" });
    expect((await logs("fast")) === expected).toBe(true);
    expect(await logs("fast", "--tail", "2")).toBe(`${lines}\nend\n`);
    await remove("fast");
  });
});
