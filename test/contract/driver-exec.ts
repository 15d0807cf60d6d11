import { text } from "node:stream/consumers";
import { expect, test } from "vitest";
import { testWhere } from "../support/test-where.ts";
import { type Bench, until } from "./harness.ts";

export function execution(bench: Bench): void {
  const { signal } = bench;
  const fromInside = testWhere(bench.features.inside);
  const running = async (): Promise<[string, string]> => {
    const { id } = await bench.sandbox();
    return [id, await bench.start(id, { does: "run" })];
  };

  test("output, errors and exit code come through", async () => {
    const [id, container] = await running();
    const command = bench.harness.command({ stdout: "out\n", stderr: "err\n", code: 3 });
    expect(await bench.exec(id, container, command)).toEqual({ stdout: "out\n", stderr: "err\n", code: 3 });
  });

  test("stdin goes in, and its end too", async () => {
    const [id, container] = await running();
    const input = "line\n".repeat(20_000);
    expect(await bench.exec(id, container, bench.harness.copy, { input })).toMatchObject({ stdout: input, code: 0 });
  });

  test("kill and abort end it", async () => {
    const [id, container] = await running();
    const request = { command: bench.harness.forever, tty: false, stdin: false };
    const session = await bench.driver.exec(id, container, request, signal);
    session.stdout.resume();
    session.kill();
    expect(await session.exitCode).toBe(137);
    const abort = new AbortController();
    const other = await bench.driver.exec(id, container, request, abort.signal);
    other.stdout.resume();
    abort.abort();
    expect(await other.exitCode).toBe(137);
    if (bench.features.inside) {
      await until("nothing of it runs on", async () => (await bench.driver.stats(id, container)).processes <= 2);
    }
  });

  test("not in a container that has ended", async () => {
    const { id } = await bench.sandbox();
    const container = await bench.start(id, { does: "exit", code: 0 });
    await bench.exited(id, container);
    const request = { command: ["true"], tty: false, stdin: false };
    await expect(bench.driver.exec(id, container, request, signal)).rejects.toMatchObject({ code: "runtime-failed" });
  });

  fromInside("127 where there is no such command, 126 where it may not be run", async () => {
    const [id, container] = await running();
    expect(await bench.exec(id, container, ["no-such-command"])).toMatchObject({ code: 127 });
    expect(await bench.exec(id, container, ["/not-executable"])).toMatchObject({ code: 126 });
    expect(await bench.exec(id, container, ["sh", "-c", "kill -TERM $$"])).toMatchObject({ code: 143 });
    expect(await bench.exec(id, container, ["sh", "-c", "exit 127"])).toMatchObject({ code: 127 });
    expect(await bench.exec(id, container, ["sh", "-c", "exit 255"])).toMatchObject({ code: 255 });
  });

  fromInside("a terminal: its size, its input, one stream, the exit code", async () => {
    const [id, container] = await running();
    const command = [
      "sh",
      "-c",
      "tty; until stty size 2>/dev/null | grep '45 123'; do sleep 0.05; done; read line; echo got $line; exit 9",
    ];
    const session = await bench.driver.exec(id, container, { command, tty: true, stdin: true }, signal);
    const output = text(session.stdout);
    session.resize(123, 45);
    session.stdin?.write("word\n");
    expect(await session.exitCode).toBe(9);
    const shown = await output;
    expect(shown).toContain("/dev/pts/");
    expect(shown).toContain("45 123");
    expect(shown).toContain("got word");
    expect(session.stderr).toBeUndefined();
  });

  fromInside("it runs as the app does: user, environment, directory, rights, cgroup", async () => {
    const { id } = await bench.sandbox();
    const container = await bench.start(
      id,
      { does: "run" },
      {
        user: { name: "app", supplementalGroups: [3000] },
        env: [{ name: "GREETING", value: "a b=c" }],
        workingDir: "/tmp",
      },
    );
    const script =
      "id; pwd; echo $GREETING; grep -E '^(NoNewPrivs|CapEff|CapBnd|Seccomp):' /proc/self/status; cat /proc/self/cgroup";
    const { stdout } = await bench.exec(id, container, ["sh", "-c", script]);
    expect(stdout).toContain("uid=1000(app) gid=1001(app)");
    expect(stdout).toContain("3000");
    expect(stdout).toContain("\n/tmp\na b=c\n");
    expect(stdout).toMatch(/NoNewPrivs:\t1\n/);
    expect(stdout).toMatch(/CapEff:\t0+\n/);
    expect(stdout).toMatch(/CapBnd:\t00000000a80425fb\n/);
    expect(stdout).toMatch(/Seccomp:\t2\n/);
    const app = await bench.exec(id, container, ["cat", "/proc/1/cgroup"]);
    expect(stdout).toContain(app.stdout.trim());
  });
}
