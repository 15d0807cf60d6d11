import type { ContainerConfig } from "../../src/sandbox/driver.ts";
import type { AppBehaviour } from "../../src/sandbox/memory/index.ts";
import { createMemoryDriver, createMemoryWorld } from "../../src/sandbox/memory/index.ts";
import { systemClock } from "../../src/system/clock.ts";
import type { Harness } from "./harness.ts";

/** The in-memory driver; a "program" is JSON that says how to behave. */
export async function memoryHarness(): Promise<Harness> {
  const world = createMemoryWorld();
  const make = () => createMemoryDriver({ clock: systemClock, world, behave });
  return {
    driver: make(),
    imageDigest: "sha256:memory",
    program: (program) => [JSON.stringify(program)],
    command: (outcome) => [JSON.stringify(outcome)],
    copy: ["copy"],
    forever: ["forever"],
    logPath: (id) => `/var/log/pods/${id}.log`,
    restart: async () => make(),
    leftovers: async () => [...world.sandboxes.keys()],
    onDisk: async () => [],
    dispose: async () => {},
  };
}

function behave(config: ContainerConfig): AppBehaviour {
  const program = JSON.parse(config.argv[0] ?? "{}");
  const exec: AppBehaviour["exec"] = ([command = ""], stdin) => {
    if (command === "copy") return { stdout: stdin, exitCode: 0 };
    if (command === "forever") return { exitCode: "running" };
    const { stdout, stderr, code } = JSON.parse(command);
    return { stdout, stderr, exitCode: code };
  };
  switch (program.does) {
    case "exit":
      return { exec, exitAfterMs: 1, exitCode: program.code, terminationMessage: program.message };
    case "ignore-term":
      return { exec, onSignal: (signal) => (/KILL|9/.test(signal) ? 137 : "ignore") };
    case "exit-on-term":
      return { exec, onSignal: () => program.code };
    case "copy":
      return { exec, copiesStdin: true };
    case "echo":
      return { exec, echoesOnPort: program.port };
    case "not-there":
      return { exec, failsToStart: "no such command" };
    default:
      return { exec };
  }
}
