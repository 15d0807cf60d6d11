import { text } from "node:stream/consumers";
import { afterAll, afterEach, beforeAll } from "vitest";
import type {
  ContainerConfig,
  ExecRequest,
  ObservedContainer,
  ObservedSandbox,
  SandboxConfig,
  SandboxDriver,
} from "../../src/sandbox/driver.ts";

/** What an app does, for drivers that run it and for those that only pretend. */
export type Program =
  /** Runs until it is stopped; ends at SIGTERM with 143. */
  | { readonly does: "run" }
  | { readonly does: "exit"; readonly code: number; readonly message?: string }
  /** Runs, and only SIGKILL ends it. */
  | { readonly does: "ignore-term" }
  /** Ends with `code` when it gets SIGTERM. */
  | { readonly does: "exit-on-term"; readonly code: number }
  /** Copies what is typed to it to its output, and ends with 0 when its input does. */
  | { readonly does: "copy" }
  /** Sends back what it gets on this TCP port of the loopback address, and hangs up when its client does. */
  | { readonly does: "echo"; readonly port: number }
  /** A command that does not exist. */
  | { readonly does: "not-there" };

/** A driver under test, and what the suite must know of the world it works in. */
export interface Harness {
  readonly driver: SandboxDriver;
  readonly imageDigest: string;
  program(program: Program): readonly string[];
  /** A command for exec: prints `stdout` and `stderr`, and ends with `code`. */
  command(outcome: { stdout?: string; stderr?: string; code: number }): readonly string[];
  /** A command that copies its stdin to its stdout. */
  readonly copy: readonly string[];
  /** A command that runs until it is killed. */
  readonly forever: readonly string[];
  logPath(container: string): string;
  /** Another driver over the same state, as after a restart of the daemon. The first is closed. */
  restart(): Promise<SandboxDriver>;
  /** Everything outside the driver's memory that belongs to it: mounts, cgroups, processes, directories. */
  leftovers(): Promise<string[]>;
  /** Files on the disk, not in memory, that have this text. */
  onDisk(text: string): Promise<string[]>;
  dispose(): Promise<void>;
}

export interface Features {
  /** Real processes run inside, and can be looked at. */
  readonly inside: boolean;
  /** They run on the host's kernel: its namespaces, devices and files can be shared, and seen from outside. */
  readonly hostKernel: boolean;
}

/** What every part of the suite works with: the harness of the running test, and short ways to say things. */
export interface Bench {
  readonly features: Features;
  readonly harness: Harness;
  driver: SandboxDriver;
  readonly signal: AbortSignal;
  sandboxConfig(more?: Partial<SandboxConfig>): SandboxConfig;
  containerConfig(program: Program | readonly string[], more?: Partial<ContainerConfig>): ContainerConfig;
  /** Runs a sandbox. */
  sandbox(more?: Partial<SandboxConfig>): Promise<ObservedSandbox>;
  /** Creates and starts a container in it; gives its id. */
  start(sandbox: string, program: Program | readonly string[], more?: Partial<ContainerConfig>): Promise<string>;
  /** Waits until the app has set its traps: it says so with a file. For programs that handle signals. */
  ready(sandbox: string, id: string): Promise<void>;
  find(sandbox: string): Promise<ObservedSandbox | undefined>;
  container(sandbox: string, id: string): Promise<ObservedContainer | undefined>;
  exited(sandbox: string, id: string): Promise<ObservedContainer>;
  exec(
    sandbox: string,
    id: string,
    command: readonly string[],
    options?: Partial<ExecRequest> & { readonly input?: string },
  ): Promise<{ readonly stdout: string; readonly stderr: string; readonly code: number }>;
}

let counter = 0;

/** Sets a harness up for the tests of the enclosing `describe`, and checks after each that nothing is left over. */
export function useBench(features: Features, makeHarness: () => Promise<Harness>): Bench {
  let harness: Harness | undefined;
  let driver: SandboxDriver | undefined;
  const signal = new AbortController().signal;
  const theHarness = (): Harness => {
    if (!harness) throw new Error("the harness is not set up");
    return harness;
  };
  const theDriver = (): SandboxDriver => driver ?? theHarness().driver;
  beforeAll(async () => {
    harness = await makeHarness();
    driver = harness.driver;
    await driver.start(signal);
  });
  afterEach(async () => {
    for (const sandbox of await theDriver().list()) await theDriver().removeSandbox(sandbox.id, signal);
    const garbage = await theDriver().collectGarbage(signal);
    const left = await theHarness().leftovers();
    if (left.length > 0 || garbage.length > 0) throw new Error(`left over: ${[...left, ...garbage].join(", ")}`);
  });
  afterAll(async () => {
    await driver?.close();
    await harness?.dispose();
  });

  const bench: Bench = {
    features,
    get harness() {
      return theHarness();
    },
    get driver() {
      return theDriver();
    },
    set driver(value) {
      driver = value;
    },
    signal,
    sandboxConfig(more = {}) {
      const id = `s${++counter}-${process.pid}`;
      return {
        id,
        pod: { namespace: "default", name: `pod-${counter}`, uid: `uid-${id}` },
        attempt: 0,
        labels: { "gantry.dev/hash": "abc" },
        hostname: `pod-${counter}`,
        hostNetwork: false,
        hostPID: false,
        hostIPC: false,
        hostUsers: true,
        shareProcessNamespace: false,
        portMappings: [],
        dns: { policy: "custom", nameservers: ["192.0.2.53"], searches: ["example.test"], options: ["ndots:2"] },
        hostAliases: [],
        sysctls: {},
        resources: {},
        volumes: [],
        ...more,
      };
    },
    containerConfig(program, more = {}) {
      const id = `c${++counter}-${process.pid}`;
      const argv = "does" in program ? theHarness().program(program) : program;
      return {
        id,
        name: `app-${counter}`,
        attempt: 0,
        specHash: "hash",
        labels: { tier: "test" },
        imageDigest: theHarness().imageDigest,
        imageName: "busybox:1",
        argv,
        workingDir: "/",
        env: [],
        mounts: [],
        user: { supplementalGroups: [] },
        security: {
          privileged: false,
          noNewPrivileges: true,
          readOnlyRootFilesystem: false,
          capabilities: { add: [], drop: [] },
          seccomp: { type: "RuntimeDefault" },
        },
        resources: {},
        stdin: "closed",
        tty: false,
        terminationMessagePath: "/dev/termination-log",
        logPath: theHarness().logPath(id),
        ...more,
      };
    },
    sandbox: async (more) => await theDriver().runSandbox(bench.sandboxConfig(more), signal),
    async start(sandbox, program, more) {
      const config = bench.containerConfig(program, more);
      await theDriver().createContainer(sandbox, config, signal);
      await theDriver().startContainer(sandbox, config.id, signal);
      return config.id;
    },
    async ready(sandbox, id) {
      if (!features.inside) return;
      const { code } = await bench.exec(sandbox, id, ["sh", "-c", "until [ -e /tmp/ready ]; do sleep 0.02; done"]);
      if (code !== 0) throw new Error(`container ${id} did not become ready: ${code}`);
    },
    find: async (sandbox) => (await theDriver().list()).find((candidate) => candidate.id === sandbox),
    container: async (sandbox, id) => (await bench.find(sandbox))?.containers.find((c) => c.id === id),
    exited: (sandbox, id) =>
      until(`container ${id} has exited`, async () => {
        const container = await bench.container(sandbox, id);
        return container?.state === "exited" ? container : undefined;
      }),
    async exec(sandbox, id, command, { tty = false, input, ...rest } = {}) {
      const stdin = rest.stdin ?? input !== undefined;
      const session = await theDriver().exec(sandbox, id, { command, tty, stdin }, signal);
      const output = Promise.all([text(session.stdout), session.stderr ? text(session.stderr) : ""]);
      if (input !== undefined) session.stdin?.end(input);
      const [[stdout, stderr], code] = await Promise.all([output, session.exitCode]);
      return { stdout, stderr, code };
    },
  };
  return bench;
}

/** Looks until `look` gives something. @throws after `timeoutMs` */
export async function until<T>(
  what: string,
  look: () => Promise<T | undefined | false>,
  timeoutMs = 60_000,
): Promise<T> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const seen = await look();
    if (seen !== undefined && seen !== false) return seen;
    if (performance.now() > deadline) throw new Error(`not so within ${timeoutMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
