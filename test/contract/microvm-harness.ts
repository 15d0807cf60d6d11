import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { defaultConfig } from "../../src/config/index.ts";
import { createImageStore } from "../../src/image/index.ts";
import { createPodNetwork } from "../../src/network/index.ts";
import { createMicrovmDriver } from "../../src/sandbox/microvm/index.ts";
import { systemClock } from "../../src/system/clock.ts";
import { exec } from "../../src/system/exec.ts";
import { type Logger, silentLogger } from "../../src/system/log.ts";
import { layout, type Paths } from "../../src/system/paths.ts";
import { BOOT_CACHE } from "../support/boot-cache.ts";
import { busyboxRoot } from "./busybox-root.ts";
import { filesOnDisk } from "./files-on-disk.ts";
import type { Harness } from "./harness.ts";
import { shellCommand, shellProgram } from "./namespace-harness.ts";

export interface MicrovmHarness extends Harness {
  readonly paths: Paths;
}

export interface MicrovmHarnessOptions {
  /** VMs on standby; default 0. */
  readonly standby?: number;
  readonly log?: Logger;
}

/** The real driver with real virtual machines, the real image store and network. */
export async function microvmHarness(options: MicrovmHarnessOptions = {}): Promise<MicrovmHarness> {
  const directory = await mkdtemp(join(tmpdir(), "gantry-vm-"));
  const paths = layout(join(directory, "root"));
  const log = options.log ?? silentLogger();
  const images = createImageStore({ paths, log, clock: systemClock });
  const signal = new AbortController().signal;
  const image = await images.import(await busyboxRoot(directory), "localhost/test/busybox:1", signal);
  const network = createPodNetwork({ paths, config: defaultConfig(paths), log, exec });
  await network.start(signal);
  const make = () =>
    createMicrovmDriver({
      paths,
      images,
      network,
      log,
      clock: systemClock,
      bootCache: BOOT_CACHE,
      bootTimeoutMs: 60_000,
      standby: { keep: options.standby ?? 0 },
    });
  let driver = make();
  return {
    get driver() {
      return driver;
    },
    paths,
    imageDigest: image.digest,
    program: shellProgram,
    command: shellCommand,
    copy: ["cat"],
    forever: ["sleep", "1000000"],
    logPath: (id) => join(paths.podLogs, "test", id, "0.log"),
    async restart() {
      await driver.close();
      driver = make();
      return driver;
    },
    onDisk: (text) => filesOnDisk(directory, text),
    leftovers: () => leftovers(directory),
    dispose: async () => {
      await network.teardown(signal);
      await images.unmountUnused(new Set());
      await rm(directory, { recursive: true, force: true });
    },
  };
}

/** Mounts, processes and files that carry the name of this test's directory. */
async function leftovers(directory: string): Promise<string[]> {
  const found: string[] = [];
  const base = join(directory, "root/run/vms");
  for (const line of (await readFile("/proc/self/mountinfo", "utf8")).split("\n")) {
    const at = line.split(" ")[4] ?? "";
    if (at.startsWith(base) && at !== base) found.push(`mount ${at}`);
  }
  for (const pid of (await readdir("/proc")).filter((name) => /^\d+$/.test(name))) {
    const command = await readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "");
    if (command.includes(directory)) found.push(`process ${pid} ${command.replaceAll("\0", " ")}`);
  }
  const names = await readdir(base).catch(() => []);
  return [...found, ...names.filter((name) => !name.startsWith(".")).map((name) => `vms/${name}`)];
}
