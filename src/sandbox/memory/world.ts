import type { PassThrough } from "node:stream";
import type { ContainerConfig, ObservedContainer, ObservedSandbox, SandboxConfig } from "../driver.ts";

/** How the app of a container behaves; what is absent behaves as a well-mannered server would. */
export interface AppBehaviour {
  /** Ends by itself after this many ms of the injected clock. Absent: runs until it is stopped. */
  readonly exitAfterMs?: number;
  /** Exit code of an app that ends by itself. Default 0. */
  readonly exitCode?: number;
  /** What a signal does: the exit code, or "ignore". Default: 128 + its number. */
  readonly onSignal?: (signal: string) => number | "ignore";
  readonly terminationMessage?: string;
  /** Prints what is typed to it, and ends with code 0 when its input does. */
  readonly copiesStdin?: boolean;
  /** Sends back what is sent to this port of the loopback address, and closes when its client does. */
  readonly echoesOnPort?: number;
  /** startContainer fails with this text, as for a command that does not exist. */
  readonly failsToStart?: string;
  /** What a command run with exec gives. Default: no output, exit code 0. */
  readonly exec?: (command: readonly string[], stdin: string) => ExecOutcome;
}

export interface ExecOutcome {
  readonly stdout?: string;
  readonly stderr?: string;
  /** "running": goes on until it is killed or its signal is aborted. */
  readonly exitCode: number | "running";
}

export interface MemoryContainer {
  readonly config: ContainerConfig;
  readonly behaviour: AppBehaviour;
  readonly createdAt: number;
  state: ObservedContainer["state"];
  startedAt?: number;
  finishedAt?: number;
  exitCode?: number;
  oomKilled?: boolean;
  pid?: number;
  /** Called once, when the app has ended. */
  readonly onExit: Set<() => void>;
  /** Where its output goes: whoever is attached to it. */
  readonly clients: Set<PassThrough>;
}

export interface MemorySandbox {
  readonly config: SandboxConfig;
  readonly createdAt: number;
  readonly address: string;
  state: ObservedSandbox["state"];
  problem?: string;
  readonly containers: Map<string, MemoryContainer>;
}

/** What outlives a driver: hand the same one to a second driver to play a restart of the daemon. */
export interface MemoryWorld {
  readonly sandboxes: Map<string, MemorySandbox>;
  nextPid: number;
  nextAddress: number;
}

export function createMemoryWorld(): MemoryWorld {
  return { sandboxes: new Map(), nextPid: 1000, nextAddress: 2 };
}

/** Ends the app, as seen from outside. Does nothing to one that is not alive. */
export function endApp(container: MemoryContainer, exitCode: number, now: number, oomKilled = false): void {
  if (container.state !== "running" && container.state !== "created") return;
  container.state = "exited";
  container.exitCode = exitCode;
  container.finishedAt = now;
  container.oomKilled = oomKilled;
  delete container.pid;
  for (const tell of container.onExit) tell();
  container.onExit.clear();
}

/** Its exit code and times are lost, as after a reboot. */
export function lose(container: MemoryContainer): void {
  container.state = "unknown";
  delete container.exitCode;
  delete container.finishedAt;
}

export function observeSandbox(runtimeClass: string, sandbox: MemorySandbox): ObservedSandbox {
  const { config } = sandbox;
  return {
    id: config.id,
    runtimeClass,
    pod: config.pod,
    attempt: config.attempt,
    state: sandbox.state,
    ...(sandbox.problem === undefined ? {} : { problem: sandbox.problem }),
    createdAt: sandbox.createdAt,
    ips: config.hostNetwork || sandbox.state !== "ready" ? [] : [sandbox.address],
    labels: config.labels,
    containers: [...sandbox.containers.values()].map(observeContainer),
    detail: { driver: "memory" },
  };
}

function observeContainer(container: MemoryContainer): ObservedContainer {
  const { config, behaviour, state } = container;
  return {
    id: config.id,
    name: config.name,
    attempt: config.attempt,
    specHash: config.specHash,
    labels: config.labels,
    imageDigest: config.imageDigest,
    imageName: config.imageName,
    logPath: config.logPath,
    state,
    createdAt: container.createdAt,
    ...(container.startedAt === undefined ? {} : { startedAt: container.startedAt }),
    ...(container.pid === undefined ? {} : { pid: container.pid }),
    ...(state === "exited" && container.finishedAt !== undefined ? { finishedAt: container.finishedAt } : {}),
    ...(state === "exited" && container.exitCode !== undefined ? { exitCode: container.exitCode } : {}),
    ...(state === "exited" ? { oomKilled: container.oomKilled ?? false } : {}),
    ...(state === "exited" && behaviour.terminationMessage !== undefined
      ? { terminationMessage: behaviour.terminationMessage.slice(0, 4096) }
      : {}),
  };
}
