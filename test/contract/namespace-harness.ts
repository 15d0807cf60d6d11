import { existsSync } from "node:fs";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { defaultConfig } from "../../src/config/index.ts";
import { createImageStore } from "../../src/image/index.ts";
import { createPodNetwork } from "../../src/network/index.ts";
import { createNamespaceDriver } from "../../src/sandbox/namespace/index.ts";
import { systemClock } from "../../src/system/clock.ts";
import { exec } from "../../src/system/exec.ts";
import { silentLogger } from "../../src/system/log.ts";
import { layout, type Paths } from "../../src/system/paths.ts";
import { busyboxRoot } from "./busybox-root.ts";
import { filesOnDisk } from "./files-on-disk.ts";
import type { Harness, Program } from "./harness.ts";

export interface NamespaceHarness extends Harness {
  readonly paths: Paths;
}

/** The real driver with the real image store and network, on an image as small as can be. */
export async function namespaceHarness(runtime: string): Promise<NamespaceHarness> {
  const directory = await mkdtemp(join(tmpdir(), "gantry-ns-"));
  const paths = layout(join(directory, "root"));
  const log = silentLogger();
  const images = createImageStore({ paths, log, clock: systemClock });
  const signal = new AbortController().signal;
  const image = await images.import(await busyboxRoot(directory), "localhost/test/busybox:1", signal);
  const network = createPodNetwork({ paths, config: defaultConfig(paths), log, exec });
  await network.start(signal);
  const make = () => createNamespaceDriver({ paths, images, network, log, clock: systemClock, runtime });
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
    leftovers: () => leftovers(directory, paths.rootId),
    dispose: async () => {
      await network.teardown(signal);
      await images.unmountUnused(new Set());
      await rm(directory, { recursive: true, force: true });
    },
  };
}

/** Prints, and ends with a code. */
export function shellCommand({ stdout = "", stderr = "", code }: Parameters<Harness["command"]>[0]): readonly string[] {
  return ["sh", "-c", `printf '%s' "$1"; printf '%s' "$2" >&2; exit $3`, "sh", stdout, stderr, String(code)];
}

/** What an app does, as a script for a shell. */
export function shellProgram(program: Program): readonly string[] {
  const loop = "touch /tmp/ready; while :; do sleep 0.05; done";
  switch (program.does) {
    case "run":
      return ["sh", "-c", `trap 'exit 143' TERM; ${loop}`];
    case "exit":
      return [
        "sh",
        "-c",
        `printf '%s' "$1" > /dev/termination-log; exit $2`,
        "sh",
        program.message ?? "",
        String(program.code),
      ];
    case "ignore-term":
      return ["sh", "-c", `trap '' TERM; ${loop}`];
    case "exit-on-term":
      return ["sh", "-c", `trap 'exit ${program.code}' TERM; ${loop}`];
    case "copy":
      return ["cat"];
    case "echo":
      return ["nc", "-ll", "-p", String(program.port), "-e", "cat"];
    case "not-there":
      return ["no-such-command"];
  }
}

/** Mounts, processes, cgroups and files that carry the name of this test's directory. */
async function leftovers(directory: string, rootId: string): Promise<string[]> {
  const found: string[] = [];
  const base = join(directory, "root/run/sandboxes");
  for (const line of (await readFile("/proc/self/mountinfo", "utf8")).split("\n")) {
    const at = line.split(" ")[4] ?? "";
    if ((at.startsWith(base) && at !== base) || at.includes(`userns-${rootId}`)) found.push(`mount ${at}`);
  }
  for (const pid of (await readdir("/proc")).filter((name) => /^\d+$/.test(name))) {
    const command = await readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "");
    if (command.includes(directory)) found.push(`process ${pid} ${command.replaceAll("\0", " ")}`);
  }
  const roots = (await readdir("/sys/fs/cgroup")).map((name) => join("/sys/fs/cgroup", name));
  for (const root of ["/sys/fs/cgroup", ...roots]) {
    const ours = join(root, `gantry-${rootId}`);
    if (!existsSync(ours)) continue;
    for (const name of await readdir(ours)) if (name.startsWith("pod")) found.push(`cgroup ${ours}/${name}`);
  }
  const places = ["run/sandboxes", "run/exits", "lib/sandboxes", "run/oci/crun", "run/oci/runc"];
  for (const place of places) {
    const names = await readdir(join(directory, "root", place)).catch(() => []);
    found.push(...names.filter((name) => !name.startsWith(".")).map((name) => `${place}/${name}`));
  }
  return found;
}
