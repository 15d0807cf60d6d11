import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { readMounts } from "../../src/system/mounts.ts";
import { removeCgroupsOf } from "../setup/cgroups.ts";
import { networkLinks, nftTables } from "../setup/leftovers.ts";
import { objectText } from "./harness/sketch.ts";
import {
  containerOf,
  eventually,
  FOREVER,
  filesOfPods,
  freePort,
  isReady,
  isRunning,
  pidsInCgroup,
  pidsWith,
  podText,
  RUNTIME_CLASSES,
  runOf,
  shell,
  type TestHost,
  testHost,
} from "./harness.ts";

/** Where a driver has a directory for each sandbox. */
const SANDBOXES = { namespace: "sandboxes", microvm: "vms" } as const;

/** What a reboot does to one root: everything that only the kernel holds is gone, files are as they were. */
async function reboot(host: TestHost): Promise<void> {
  await host.stopDaemon("SIGKILL");
  const { root, rootId, run } = host.paths;
  const held = (): number[] => [...pidsWith(`${root}/`), ...pidsInCgroup(`gantry-${rootId}`)].filter(isRunning);
  await eventually(
    () => {
      for (const pid of held()) process.kill(pid, "SIGKILL");
      return held().length === 0;
    },
    { what: "the end of all processes" },
  );
  for (const { path } of (await readMounts()).reverse()) {
    if (path.startsWith(`${root}/`) || path.includes(`gantry-userns-${rootId}`))
      execFileSync("umount", ["--lazy", path]);
  }
  for (const link of await networkLinks()) {
    const name = link.slice("link ".length);
    if (name.includes(rootId)) execFileSync("ip", ["link", "delete", name]);
  }
  for (const table of await nftTables()) {
    const [, , family = "", name = ""] = table.split(" ");
    if (name.includes(rootId)) execFileSync("nft", ["delete", "table", family, name]);
  }
  removeCgroupsOf(`gantry-${rootId}`);
  // The boot id can't be changed, so every record is made to be from another boot.
  const boot = readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
  const other = boot.replace(/^./, (digit) => (digit === "0" ? "1" : "0"));
  for (const entry of readdirSync(run, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile() || !entry.name.endsWith(".json")) continue;
    const file = join(entry.parentPath, entry.name);
    writeFileSync(file, readFileSync(file, "utf8").replaceAll(boot, other));
  }
}

test.each(RUNTIME_CLASSES)(
  "%s: after a reboot every pod is brought back, once, and nothing of before is left",
  async (runtimeClass) => {
    await using host = testHost({ runtimeClass });
    await host.startDaemon();
    const hostPort = await freePort();
    const serve = "cat /data/count > /tmp/index.html; exec httpd -f -p 8080 -h /tmp";
    const data = { volumes: [{ name: "data", emptyDir: {} }] };
    const mounted = { volumeMounts: [{ name: "data", mountPath: "/data" }] };
    host.write(
      "web.yaml",
      podText("web", [shell("web", serve, { ...mounted, ports: [{ containerPort: 8080, hostPort }] })], {
        ...data,
        initContainers: [shell("init", "echo x >> /data/count", mounted)],
      }),
    );
    const requests = { storage: "8Mi" };
    host.write(
      "kept.yaml",
      objectText("PersistentVolumeClaim", "kept", {
        spec: { accessModes: ["ReadWriteOnce"], resources: { requests } },
      }),
    );
    host.write(
      "memory.yaml",
      podText(
        "memory",
        [
          shell("main", FOREVER, { volumeMounts: [{ name: "memory", mountPath: "/memory" }] }),
          shell("other", FOREVER, { volumeMounts: [{ name: "kept", mountPath: "/kept" }] }),
        ],
        {
          volumes: [
            { name: "memory", emptyDir: { medium: "Memory" } },
            { name: "kept", persistentVolumeClaim: { claimName: "kept" } },
          ],
          shareProcessNamespace: true,
        },
      ),
    );
    host.write("mapped.yaml", podText("mapped", [shell("main", FOREVER)], { hostUsers: false }));
    host.write("done.yaml", podText("done", [shell("main", "exit 0")], { restartPolicy: "Never" }));
    host.write("job.yaml", podText("job", [shell("main", "sleep 100000")], { restartPolicy: "OnFailure" }));
    host.write("gone.yaml", podText("gone", [shell("main", FOREVER)]));
    const running = ["web", "memory", "mapped", "job", "gone"];
    const before = await Promise.all(running.map((name) => host.waitReady(name)));
    const inOther = (script: string) => host.gantry("exec", "memory", "-c", "other", "--", "sh", "-c", script);
    expect(await inOther("echo kept > /kept/file")).toMatchObject({ code: 0, stderr: "" });
    const done = await host.waitPhase("done", "Succeeded");
    const { run, podLogs } = host.paths;
    const count = (directory: string): number =>
      filesOfPods(host.paths).filter((file) => file.startsWith(`file ${directory}/`)).length;
    // Whether done's sandbox has been taken down by now or not: its lease is not to outlive the reboot.

    await reboot(host);
    host.remove("gone.yaml");
    await host.startDaemon();

    await host.waitGone("gone");
    const names = running.filter((name) => name !== "gone");
    const after = await Promise.all(names.map((name) => host.waitReady(name)));
    // They are the same pods, in new sandboxes.
    expect(after.map(({ metadata }) => metadata.uid)).toEqual(before.slice(0, 4).map(({ metadata }) => metadata.uid));
    for (const pod of after) for (const { name } of pod.status.containerStatuses) runOf(pod, name);
    const [web] = after;
    if (web === undefined) throw new Error("no web");
    // A new sandbox runs the init containers again; an emptyDir on disk has lived through it, one in a guest has not.
    const page = async (): Promise<string> => (await fetch(`http://127.0.0.1:${hostPort}/`)).text();
    expect((await inOther("cat /kept/file")).stdout).toBe("kept\n");
    expect(await eventually(page)).toBe(runtimeClass === "namespace" ? "x\nx\n" : "x\n");
    expect(containerOf(web, "web").lastState?.terminated?.reason).toBe("ContainerStatusUnknown");
    // What had ended is not run again.
    const still = await host.waitPhase("done", "Succeeded");
    expect(still.metadata.uid).toBe(done.metadata.uid);
    expect(containerOf(still, "main").restartCount).toBe(0);

    // Nothing twice, no lease lost: one sandbox and one lease per running pod, and one log directory per pod.
    await eventually(
      () =>
        count(join(run, "cni-leases")) === names.length &&
        count(join(run, SANDBOXES[runtimeClass])) <= names.length + 1,
      { what: "one sandbox and one lease per pod", explain: () => filesOfPods(host.paths).join("\n") },
    );
    expect(count(podLogs)).toBe(names.length + 1);
    expect(new Set(after.map(({ status }) => status.podIP)).size).toBe(names.length);
    expect(after.every(isReady)).toBe(true);
  },
);
