import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { exec } from "../../src/system/exec.ts";

const SCRIPT = fileURLToPath(new URL("bare-pod.sh", import.meta.url));

/** The same pod without Gantry: see bare-pod.sh. */
export class BarePod {
  readonly #directory: string;

  constructor(directory: string, rootfs: string, port: number) {
    this.#directory = directory;
    mkdirSync(join(directory, "bundle"), { recursive: true });
    execFileSync(SCRIPT, ["prepare", directory, rootfs, String(port)]);
    execFileSync("crun", ["spec"], { cwd: join(directory, "bundle") });
    writeFileSync(
      join(directory, "bundle", "template.json"),
      template(readFileSync(join(directory, "bundle", "config.json"), "utf8")),
    );
  }

  /** @returns ms from the start of the script to its end: the container runs */
  async up(id: string): Promise<number> {
    const begun = performance.now();
    await exec(SCRIPT, ["up", this.#directory, id]);
    return performance.now() - begun;
  }

  async down(id: string): Promise<void> {
    await exec(SCRIPT, ["down", this.#directory, id]);
  }

  /** @returns ms that `crun run` takes by itself, in the network namespace and on the root that `up` made */
  async restart(id: string): Promise<number> {
    await exec("crun", ["delete", "--force", id]);
    const begun = performance.now();
    // Not through exec: the container would hold its pipes.
    execFileSync("crun", ["run", "--detach", "--bundle", join(this.#directory, id), id], { stdio: "ignore" });
    return performance.now() - begun;
  }

  dispose(): void {
    execFileSync("sh", [
      "-c",
      "ip link delete gntbench0 2> /dev/null; rmdir /sys/fs/cgroup/gantry-bench /sys/fs/cgroup/*/gantry-bench 2> /dev/null; true",
    ]);
  }
}

/** crun's own example, with our command, root, network namespace and cgroup in place of its own. */
function template(spec: string): string {
  const config: unknown = JSON.parse(spec);
  if (typeof config !== "object" || config === null) throw new Error("crun spec printed no object");
  return JSON.stringify(config, (key, value: unknown) => {
    if (key === "terminal") return false;
    if (key === "args") return ["httpd", "-f", "-p", "80", "-h", "/www"];
    if (key === "root") return { path: "@ROOT@", readonly: false };
    // What a machine without CAP_SYS_RESOURCE refuses, and Gantry leaves out there.
    if (key === "rlimits") return [];
    if (key === "namespaces") return namespaces();
    if (key === "linux" && typeof value === "object") return { ...value, cgroupsPath: "@CGROUP@" };
    return value;
  });
}

function namespaces(): object[] {
  return [{ type: "network", path: "@NETNS@" }, ...["pid", "ipc", "uts", "mount"].map((type) => ({ type }))];
}
