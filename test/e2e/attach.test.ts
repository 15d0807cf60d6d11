import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { podText } from "./harness/sketch.ts";
import { openTerminal } from "./harness/terminal.ts";
import { containerOf, eventually, RUNTIME_CLASSES, startCli, type TestHost, testHost } from "./harness.ts";

/** `gantry attach`: the app itself, not a command beside it. */
describe.each(RUNTIME_CLASSES)("on %s", (runtimeClass) => {
  let host: TestHost;
  beforeAll(async () => {
    host = testHost({ runtimeClass });
    await host.startDaemon();
    const once = { restartPolicy: "Never" };
    host.write("filter.yaml", podText("filter", { command: ["tr", "a-z", "A-Z"], stdin: true, stdinOnce: true }, once));
    host.write("ticker.yaml", podText("ticker", { command: ["sh", "-c", "while :; do echo tick; sleep 0.2; done"] }));
    host.write("shell.yaml", podText("shell", { command: ["sh"], stdin: true, tty: true }, once));
  });
  afterAll(() => host.dispose());

  test("pipes something through an app whose stdin is there once", async () => {
    await host.waitReady("filter");
    const input = "one line\n".repeat(50_000);
    const { code, stdout, stderr } = await host.gantryWith({ input }, "attach", "-i", "filter");
    expect([code, stderr]).toEqual([0, ""]);
    expect(stdout).toBe(input.toUpperCase());
    await host.waitPhase("filter", "Succeeded");
  });

  test("watches one that has no stdin, and says so; leaving it changes nothing", async () => {
    await host.waitReady("ticker");
    const child = startCli(["attach", "-it", "ticker"], { env: { GANTRY_ROOT: host.root } });
    let [seen, said] = ["", ""];
    child.stdout?.on("data", (chunk: Buffer) => {
      seen += chunk;
    });
    child.stderr?.on("data", (chunk: Buffer) => {
      said += chunk;
    });
    const ended = new Promise((resolve) => child.on("close", resolve));
    await eventually(() => seen.split("tick\n").length > 4, { what: "four ticks" });
    expect(said).toContain("has no stdin (set stdin: true)");
    expect(said).toContain("has none (set tty: true)");
    child.kill("SIGINT");
    await ended;
    const pod = await host.waitReady("ticker");
    expect(containerOf(pod, "app").restartCount).toBe(0);
  });

  test("a shell on a terminal: left with Ctrl-P Ctrl-Q, joined again after a restart of the daemon, ended with its code", async () => {
    await host.waitReady("shell");
    const first = openTerminal(host.root, ["attach", "-it", "shell"]);
    await first.see("Ctrl-P Ctrl-Q");
    first.write("X=41; stty size\r");
    await first.see("30 90");
    first.write("\u0010\u0011");
    expect(await first.ended).toBe(0);

    await host.stopDaemon("SIGKILL");
    await host.startDaemon();
    await host.waitReady("shell");
    const second = openTerminal(host.root, ["attach", "-it", "shell"]);
    await second.see("Ctrl-P Ctrl-Q");
    second.write("echo $((X + 1))\r");
    await second.see(/\b42\b/);
    second.write("exit 7\r");
    expect(await second.ended).toBe(7);
    const pod = await host.waitPhase("shell", "Failed");
    expect(containerOf(pod, "app").state.terminated?.exitCode).toBe(7);
  });

  test("not to one that does not run", async () => {
    host.write("stuck.yaml", podText("stuck", { image: "localhost/no/such:1" }));
    await host.waitPhase("stuck", "Pending");
    const { code, stderr } = await host.gantry("attach", "stuck");
    expect([code, stderr]).toEqual([1, expect.stringContaining("does not run")]);
  });
});
