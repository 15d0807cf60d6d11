import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import {
  containerOf,
  eventually,
  FOREVER,
  isReady,
  isRunning,
  knock,
  type PodView,
  podText,
  qemuOf,
  runOf,
  shell,
  type TestHost,
  testHost,
} from "./harness.ts";

/** An app that may do what only breaks its own VM, and does it. */
const CRASH = shell("main", "mkdir /mine; mount -t proc proc /mine; echo c > /mine/sysrq-trigger", {
  securityContext: { capabilities: { add: ["SYS_ADMIN"] }, seccompProfile: { type: "Unconfined" } },
});

const restarted = (pod: PodView): boolean => containerOf(pod, "main").restartCount === 1 && isReady(pod);

function saying(host: TestHost, ...words: readonly string[]): Promise<unknown> {
  const told = async (): Promise<boolean> => {
    const { stdout } = await host.gantry("events");
    return words.every((word) => stdout.includes(word));
  };
  return eventually(told, { what: `events with ${words.join(" and ")}`, explain: () => host.explain() });
}

describe("a micro-VM that ends", () => {
  test("killed, also while no daemon runs: said, and its pod is brought back", async () => {
    await using host = testHost({ runtimeClass: "microvm" });
    await host.startDaemon();
    host.write("web.yaml", podText("web", [shell("main", FOREVER)]));
    host.write("other.yaml", podText("other", [shell("main", FOREVER)]));
    const [web, other] = [await host.waitReady("web"), await host.waitReady("other")];
    const untouched = runOf(other, "main");
    process.kill(qemuOf(web), "SIGKILL");
    const again = await host.waitFor("web", restarted, "restarted");
    expect(containerOf(again, "main").lastState?.terminated).toMatchObject({
      exitCode: 137,
      message: expect.stringContaining("micro-VM ended"),
    });
    await saying(host, "SandboxFailed", "was killed", "SandboxChanged");
    expect((await host.gantry("describe", "web")).stdout).toContain("the micro-VM ended");

    await host.stopDaemon("SIGKILL");
    const qemu = qemuOf(again);
    process.kill(qemu, "SIGKILL");
    await eventually(() => !isRunning(qemu), { what: "its end" });
    await host.startDaemon();
    await host.waitFor("web", (pod) => containerOf(pod, "main").restartCount === 2 && isReady(pod), "restarted again");
    expect(runOf(await host.waitReady("other"), "main")).toEqual(untouched);
  });

  test("crashed: under Never the pod has failed, and its status says why", async () => {
    await using host = testHost({ runtimeClass: "microvm" });
    await host.startDaemon();
    host.write("crash.yaml", podText("crash", [CRASH], { restartPolicy: "Never" }));
    const pod = await host.waitPhase("crash", "Failed");
    const why = expect.stringContaining("kernel panic: sysrq triggered crash");
    expect(containerOf(pod, "main").state.terminated).toMatchObject({ exitCode: 137, message: why });
    await saying(host, "SandboxFailed", "kernel panic: sysrq triggered crash");
    expect(() => qemuOf(pod)).toThrow("no QEMU");
  });

  test("out of memory as a whole: the app that took it is OOMKilled, and the VM goes on", async () => {
    await using host = testHost({ runtimeClass: "microvm" });
    await host.startDaemon();
    const hog = shell("hog", "tail /dev/zero");
    host.write("hog.yaml", podText("hog", [hog, shell("main", FOREVER)], { restartPolicy: "Never" }));
    const run = runOf(await host.waitFor("hog", ({ status }) => status.phase === "Running", "Running"), "main");
    const oomKilled = (pod: PodView): boolean => containerOf(pod, "hog").state.terminated?.reason === "OOMKilled";
    const pod = await host.waitFor("hog", oomKilled, "OOMKilled", 60_000);
    expect(containerOf(pod, "hog").state.terminated?.exitCode).toBe(137);
    expect(runOf(pod, "main")).toEqual(run);
    await saying(host, "OOMKilling");
  });

  test("stuck: said soon, and ended when that goes on; a pod to be deleted goes all the same", async () => {
    await using host = testHost({ runtimeClass: "microvm" });
    await host.startDaemon();
    for (const name of ["stuck", "deleted"]) host.write(`${name}.yaml`, podText(name, [shell("main", FOREVER)]));
    for (const name of ["stuck", "deleted"]) process.kill(qemuOf(await host.waitReady(name)), "SIGSTOP");
    const isSaid = ({ status }: PodView): boolean => status.reason === "SandboxNotResponding";
    await host.waitFor("stuck", isSaid, "said to be silent");
    host.remove("deleted.yaml");
    await host.waitFor("stuck", restarted, "ended and brought back", 60_000);
    await saying(host, "SandboxNotResponding", "did not answer any more");
    await host.waitGone("deleted", 60_000);
  });
});

describe("what a micro-VM refuses, and why", () => {
  const cases = [
    ["hostNetwork", { hostNetwork: true }, {}, "cannot share the host's network"],
    ["hostPID", { hostPID: true }, {}, "cannot share the host's processes"],
    ["hostIPC", { hostIPC: true }, {}, "cannot share the host's shared memory"],
    ["privileged", {}, { securityContext: { privileged: true } }, "the host's devices"],
  ] as const;
  test("is said with file and line; without it the pod runs", async () => {
    await using host = testHost({ runtimeClass: "microvm" });
    await host.startDaemon();
    const write = (name: string, spec = {}, fields = {}): void =>
      host.write(`${name.toLowerCase()}.yaml`, podText(name.toLowerCase(), [shell("main", FOREVER, fields)], spec));
    for (const [name, spec, fields] of cases) write(name, spec, fields);
    for (const [name, , , why] of cases) {
      const said = async (): Promise<boolean> => {
        const { stdout } = await host.gantry("status");
        const lines = stdout.split("\n");
        return lines.some((line) => line.includes(`${name.toLowerCase()}.yaml:`) && stdout.includes(why));
      };
      await eventually(said, { what: why, explain: () => host.explain() });
    }
    expect(await host.pods()).toEqual([]);
    write("hostNetwork");
    await host.waitReady("hostnetwork");
  });
});

test("logs that are written while no daemon runs are whole, and so are exit codes", async () => {
  await using host = testHost({ runtimeClass: "microvm" });
  await host.startDaemon();
  // A connection from outside is what it waits for, since nothing of the host's can be seen in there.
  const script = (code: number): string => `nc -l -p 9000 > /dev/null; seq 1 20000; echo over; exit ${code}`;
  for (const code of [0, 7]) {
    const spec = { restartPolicy: "Never" };
    host.write(`job-${code}.yaml`, podText(`job-${code}`, [shell("main", script(code))], spec));
  }
  const pods = [await host.waitReady("job-0"), await host.waitReady("job-7")];
  await host.stopDaemon("SIGKILL");
  for (const { metadata, status } of pods) {
    await eventually(() => knock(`${status.podIP}`, 9000), { what: `${metadata.name} listens` });
    const log = join(host.paths.podLogs, `default_${metadata.name}_${metadata.uid}`, "main/0.log");
    await eventually(() => readFileSync(log, "utf8").endsWith(" over\n"), { what: `the end of ${metadata.name}` });
  }
  await host.startDaemon();
  for (const [index, phase] of ["Succeeded", "Failed"].entries()) {
    const name = `${pods[index]?.metadata.name}`;
    const pod = await host.waitPhase(name, phase);
    expect(containerOf(pod, "main").state.terminated?.exitCode).toBe(index === 0 ? 0 : 7);
    const { stdout } = await host.gantry("logs", name);
    expect(stdout === `${Array.from({ length: 20_000 }, (_, n) => `${n + 1}\n`).join("")}over\n`).toBe(true);
  }
});
