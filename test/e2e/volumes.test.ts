import { mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { readMounts } from "../../src/system/mounts.ts";
import { objectText, podOf, podText } from "./harness/sketch.ts";
import { eventually, type PodView, RUNTIME_CLASSES, runOf, type TestHost, testHost } from "./harness.ts";

/** What goes with its claim goes soon. */
const DAEMON = ["--set", "volumes.deleteAfterSeconds=1"];

describe.each(RUNTIME_CLASSES)("%s", (runtimeClass) => {
  let host: TestHost;
  /** Shared with the pods. */
  let shared: string;
  beforeAll(async () => {
    shared = mkdtempSync(join(tmpdir(), "shared-"));
    host = testHost({ runtimeClass });
    await host.startDaemon({ args: DAEMON });
  });
  afterAll(async () => {
    await host.dispose();
    rmSync(shared, { recursive: true });
  });

  async function inside(pod: string, script: string, container = "app"): Promise<string> {
    const { code, stdout, stderr } = await host.gantry("exec", pod, "-c", container, "--", "sh", "-c", script);
    expect([code, stderr]).toEqual([0, ""]);
    return stdout;
  }

  async function remove(name: string): Promise<void> {
    host.remove(`${name}.yaml`);
    await host.waitGone(name);
  }

  describe("a part of a volume (subPath)", () => {
    test("is made where there is nothing, and can't lead out of the volume", async () => {
      const text = podOf(
        "parts",
        [
          {
            name: "app",
            env: [{ name: "WHO", valueFrom: { fieldRef: { fieldPath: "metadata.name" } } }],
            volumeMounts: [
              { name: "v", mountPath: "/whole" },
              { name: "v", mountPath: "/part", subPath: "made/here" },
              { name: "v", mountPath: "/mine", subPathExpr: "of/$(WHO)" },
              { name: "c", mountPath: "/etc/app.conf", subPath: "conf" },
              { name: "h", mountPath: "/host", subPath: "below" },
            ],
          },
        ],
        {
          volumes: [
            { name: "v", emptyDir: {} },
            { name: "c", configMap: { name: "parts" } },
            { name: "h", hostPath: { path: shared } },
          ],
        },
      );
      host.write("parts.yaml", `${objectText("ConfigMap", "parts", { data: { conf: "one" } })}---\n${text}`);
      await host.waitReady("parts");
      expect(
        await inside("parts", "echo a > /part/f; echo b > /mine/f; cat /whole/made/here/f /whole/of/parts/f"),
      ).toBe("a\nb\n");
      expect(await inside("parts", "cat /etc/app.conf; echo c > /host/f")).toBe("one");
      expect(readFileSync(join(shared, "below/f"), "utf8")).toBe("c\n");
      // The app turns its part into a way out; at its next start that is refused.
      await inside("parts", "rm -r /whole/of; ln -s /etc /whole/of");
      await host.gantry("exec", "parts", "--", "kill", "1");
      const waiting = (pod: PodView) => pod.status.containerStatuses[0]?.state.waiting?.reason ?? "";
      const held = await host.waitFor("parts", (pod) => waiting(pod) === "CreateContainerError", "held", 60_000);
      expect(held.status.containerStatuses[0]?.state.waiting?.message).toMatch(/subPath "of\/parts" of .* lead/);
      await remove("parts");
    });
  });

  test("belongs to the group of the pod (fsGroup)", async () => {
    const volumeMounts = [
      { name: "e", mountPath: "/e" },
      { name: "m", mountPath: "/m" },
      { name: "s", mountPath: "/s" },
      { name: "e", mountPath: "/part", subPath: "a/b" },
    ];
    const text = podText(
      "grouped",
      { volumeMounts },
      {
        securityContext: { runAsUser: 1000, runAsGroup: 1000, fsGroup: 2000 },
        // Its ids are others on the host.
        ...(runtimeClass === "namespace" ? { hostUsers: false } : {}),
        volumes: [
          { name: "e", emptyDir: {} },
          { name: "m", emptyDir: { medium: "Memory" } },
          { name: "s", secret: { secretName: "grouped", defaultMode: 0o400 } },
        ],
      },
    );
    host.write("grouped.yaml", `${objectText("Secret", "grouped", { stringData: { key: "s3cret" } })}---\n${text}`);
    await host.waitReady("grouped");
    expect(await inside("grouped", "touch /e/x /m/x; stat -c '%g %a' /e /m /e/x; stat -c %g /m/x; cat /s/key")).toBe(
      "2000 2777\n2000 2777\n2000 644\n2000\ns3cret",
    );
    expect(await inside("grouped", "touch /part/y; stat -c %g /part /part/y /e/a/b/y")).toBe("2000\n2000\n2000\n");
    await remove("grouped");
  });

  describe("persistentVolumeClaim", () => {
    const claim = (name: string, storage: string, more: object = {}): string =>
      objectText("PersistentVolumeClaim", name, {
        spec: { accessModes: ["ReadWriteOnce"], resources: { requests: { storage } }, ...more },
      });
    const claiming = (pod: string, claimName: string, script = ""): string =>
      podText(
        pod,
        {
          ...(script === "" ? {} : { command: ["sh", "-c", script] }),
          volumeMounts: [{ name: "v", mountPath: "/v" }],
        },
        { volumes: [{ name: "v", persistentVolumeClaim: { claimName } }] },
      );
    const volume = async (name: string) =>
      JSON.parse((await host.gantry("volume", "describe", name, "-o", "json")).stdout);

    test("is waited for, holds what it asks for, is shared, grows, and keeps its data without pod and manifest", async () => {
      host.write("holder.yaml", claiming("holder", "data"));
      const held = await host.waitFor("holder", (pod) => pod.status.conditions[0]?.reason === "Unschedulable", "held");
      expect(held.status.conditions[0]).toMatchObject({
        type: "PodScheduled",
        status: "False",
        message: expect.stringContaining('persistentvolumeclaim "data" not found'),
      });
      host.write("data.yaml", claim("data", "16Mi"));
      await host.waitReady("holder");
      expect(
        await inside("holder", "echo kept > /v/file; dd if=/dev/zero of=/v/big bs=1M count=20 2>&1 | cat"),
      ).toContain("No space left");
      await inside("holder", "rm /v/big");
      expect(await volume("data")).toMatchObject({ phase: "Bound", capacityBytes: 16 << 20, pods: ["default/holder"] });
      // A second pod of the node, and one that may only read.
      host.write("second.yaml", claiming("second", "data"));
      await host.waitReady("second");
      expect(await inside("second", "cat /v/file; echo more >> /v/file")).toBe("kept\n");
      expect(await inside("holder", "cat /v/file")).toBe("kept\nmore\n");
      const busy = await host.gantry("volume", "rm", "data");
      expect([busy.code, busy.stderr]).toEqual([
        1,
        expect.stringMatching(/is claimed.*\n.*gantry delete pvc\/default\/data/),
      ]);

      await remove("second");
      expect(await host.gantry("delete", "pvc/data")).toMatchObject({
        stdout: "persistentvolumeclaim/data deleted\n",
        stderr: expect.stringContaining("gantry volume ls"),
      });
      await eventually(async () => (await volume("data")).phase === "Released");
      const used = await host.gantry("volume", "rm", "data");
      expect([used.code, used.stderr]).toEqual([1, expect.stringContaining("default/holder")]);
      await remove("holder");
      expect((await host.gantry("volume", "ls")).stdout).toMatch(/default\s+data\s+Released\s+16(\.0)? MiB/);
      // It comes back, and is larger.
      host.write("data.yaml", claim("data", "32Mi"));
      host.write("holder.yaml", claiming("holder", "data"));
      await host.waitReady("holder");
      expect(await inside("holder", "cat /v/file; df -m /v | tail -1 | awk '{ print ($2 > 20) }'")).toBe(
        "kept\nmore\n1\n",
      );
      await remove("holder");
      host.remove("data.yaml");
      await eventually(async () => (await volume("data")).phase === "Released");
      expect((await host.gantry("volume", "rm", "data")).stdout).toBe("volume/default/data removed\n");
      expect((await host.gantry("volume", "describe", "data")).stderr).toContain("there is no volume default/data");
    });

    test("for one pod makes others wait until that has ended; with the policy Delete it goes, but not by accident", async () => {
      const spec = { accessModes: ["ReadWriteOncePod"], storageClassName: "gantry-delete" };
      host.write("alone.yaml", claim("alone", "8Mi", spec));
      const first = JSON.parse(claiming("one", "alone", "until test -e /v/end; do sleep 0.1; done"));
      host.write("one.yaml", JSON.stringify({ ...first, spec: { ...first.spec, restartPolicy: "Never" } }));
      await host.waitReady("one");
      host.write("two.yaml", claiming("two", "alone"));
      const held = await host.waitFor("two", (pod) => pod.status.conditions[0]?.reason === "Unschedulable", "held");
      expect(held.status.conditions[0]?.message).toMatch(/default\/one .*ReadWriteOncePod/);
      // The app may take this process with it, as it ends.
      await host.gantry("exec", "one", "--", "touch", "/v/end");
      await host.waitPhase("one", "Succeeded");
      await host.waitReady("two");
      expect(await inside("two", "ls /v")).toBe("end\n");
      await remove("one");
      host.remove("alone.yaml");
      await remove("two");
      // The folder is empty: that may be an accident, and is told.
      const kept = async () => (await host.gantry("volume", "ls")).stderr;
      await eventually(async () => /default\/alone: it is kept for now: .* has no manifest at all/.test(await kept()));
      host.write("other.yaml", objectText("ConfigMap", "other", {}));
      await eventually(async () => (await volume("alone")).deletesAt > 0);
      await eventually(async () => !(await host.gantry("volume", "ls")).stdout.includes("alone"));
      host.remove("other.yaml");
    });

    test("follows its manifest while a pod runs, survives the daemon, and is never begun anew in silence", async () => {
      host.write("data.yaml", claim("data", "16Mi"));
      host.write("read.yaml", claim("read", "8Mi", { accessModes: ["ReadOnlyMany"] }));
      const text = JSON.parse(claiming("user", "data"));
      text.spec.volumes.push({ name: "r", persistentVolumeClaim: { claimName: "read" } });
      text.spec.containers[0].volumeMounts.push({ name: "r", mountPath: "/r" });
      host.write("user.yaml", JSON.stringify(text));
      const run = runOf(await host.waitReady("user"), "app");
      expect(await inside("user", "touch /r/x 2>&1 || true; echo kept > /v/file")).toContain("Read-only file system");

      // A killed daemon, then one that was stopped: nothing is mounted twice, nothing is lost.
      const mounts = async () =>
        (await readMounts()).map(({ path }) => path).filter((path) => path.startsWith(join(host.paths.lib, "volumes")));
      const before = await mounts();
      expect(before).toHaveLength(2);
      for (const end of ["SIGKILL", "SIGTERM"] as const) {
        await host.stopDaemon(end);
        await host.startDaemon({ args: DAEMON });
        expect(runOf(await host.waitReady("user"), "app")).toEqual(run);
        expect([await mounts(), await inside("user", "cat /v/file")]).toEqual([before, "kept\n"]);
      }

      // Larger: at once, or where the kernel does not let Gantry, later. Smaller: never.
      host.write("data.yaml", claim("data", "48Mi"));
      const large = async () => Number(await inside("user", "df -k /v | awk 'END { print $2 }'")) > 32_000;
      await eventually(async () => (await large()) || /grows to 48.0 MiB when/.test((await volume("data")).problem));
      if (!(await large())) {
        await remove("user");
        host.write("user.yaml", JSON.stringify(text));
        await host.waitReady("user");
      }
      expect([await large(), await inside("user", "cat /v/file")]).toEqual([true, "kept\n"]);
      host.write("data.yaml", claim("data", "16Mi"));
      await eventually(async () =>
        /data\.yaml:\d+:\d+: .*16.0 MiB are asked for, and a volume can't be made smaller: it keeps its 48.0 MiB/.test(
          (await host.gantry("status")).stdout,
        ),
      );
      writeFileSync(join(host.directory, "less.yaml"), claim("data", "8Mi"));
      const less = await host.gantry("apply", "-f", join(host.directory, "less.yaml"));
      expect([less.code, less.stderr]).toEqual([1, expect.stringMatching(/:\d+:\d+: .*can't be made smaller/)]);

      // More than the disk has.
      host.write("huge.yaml", claim("huge", "900Pi"));
      host.write("waits.yaml", claiming("waits", "huge"));
      const held = await host.waitFor("waits", (pod) => pod.status.conditions[0]?.reason === "Unschedulable", "held");
      expect(held.status.conditions[0]?.message).toMatch(/"huge": 900 PiB are asked for, and only .* are free/);
      expect(await volume("huge")).toMatchObject({ phase: "Pending", problem: expect.stringContaining("are free") });
      await remove("waits");

      // Its file goes while no pod has it.
      await remove("user");
      const { file } = await volume("data");
      renameSync(file, `${file}.away`);
      host.write("user.yaml", JSON.stringify(text));
      const isTold = (pod: PodView) => pod.status.message?.includes("its data is gone") === true;
      await host.waitFor("user", isTold, "what is missing");
      expect((await volume("data")).phase).toBe("Lost");
      renameSync(`${file}.away`, file);
      await host.waitReady("user");
      expect(await inside("user", "cat /v/file")).toBe("kept\n");
      await remove("user");
      for (const name of ["data", "read", "huge"]) host.remove(`${name}.yaml`);
      await eventually(async () => (await host.gantry("volume", "rm", "data", "read")).code === 0);
    });

    test("that a StatefulSet makes stays without it, until it is removed", async () => {
      const template = JSON.parse(podText("x", { volumeMounts: [{ name: "data", mountPath: "/v" }] })).spec;
      const set = {
        apiVersion: "apps/v1",
        kind: "StatefulSet",
        metadata: { name: "db" },
        spec: {
          selector: { matchLabels: { app: "db" } },
          template: { metadata: { labels: { app: "db" } }, spec: template },
          volumeClaimTemplates: [
            {
              metadata: { name: "data" },
              spec: { accessModes: ["ReadWriteOnce"], resources: { requests: { storage: "8Mi" } } },
            },
          ],
        },
      };
      host.write("db.yaml", JSON.stringify(set));
      await host.waitReady("db-0");
      await inside("db-0", "echo kept > /v/file");
      host.remove("db.yaml");
      await host.waitGone("db-0");
      host.write("db.yaml", JSON.stringify(set));
      await host.waitReady("db-0");
      expect(await inside("db-0", "cat /v/file")).toBe("kept\n");
      expect((await host.gantry("volume", "rm", "data-db-0")).stderr).toContain("pod default/db-0 uses");
      host.remove("db.yaml");
      await host.waitGone("db-0");
      await eventually(async () => (await host.gantry("volume", "rm", "data-db-0")).code === 0);
      expect((await host.gantry("volume", "ls")).stdout).not.toContain("data-db-0");
    });

    test("of the pod's own (ephemeral) goes with it", async () => {
      const spec = { accessModes: ["ReadWriteOnce"], resources: { requests: { storage: "8Mi" } } };
      host.write(
        "passing.yaml",
        podText(
          "passing",
          { volumeMounts: [{ name: "v", mountPath: "/v", subPath: "part" }] },
          { volumes: [{ name: "v", ephemeral: { volumeClaimTemplate: { spec } } }] },
        ),
      );
      await host.waitReady("passing");
      expect(await inside("passing", "dd if=/dev/zero of=/v/big bs=1M count=10 2>&1 | cat")).toContain("No space left");
      await remove("passing");
    });
  });

  describe("hostPath", () => {
    const mounting = (name: string, path: string, type: string, script = "true"): string =>
      podText(
        name,
        { command: ["sh", "-c", script], volumeMounts: [{ name: "v", mountPath: "/v" }] },
        { restartPolicy: "Never", volumes: [{ name: "v", hostPath: { path, type } }] },
      );

    test("of every type, there or made", async () => {
      mkdirSync(join(shared, "dir"));
      writeFileSync(join(shared, "file"), "from the host\n");
      const socket = createServer().listen(join(shared, "socket"));
      const cases = [
        ["dir", join(shared, "dir"), "Directory", "echo here > /v/from-pod"],
        ["made-dir", join(shared, "new/dir"), "DirectoryOrCreate", "echo here > /v/from-pod"],
        ["file", join(shared, "file"), "File", "cat /v"],
        ["made-file", join(shared, "new-file"), "FileOrCreate", "echo written > /v"],
      ] as const;
      // Their other end is in the host's kernel, which a micro-VM does not share.
      const special = [
        ["socket", join(shared, "socket"), "Socket", "test -S /v"],
        ["char", "/dev/null", "CharDevice", "test -c /v"],
      ] as const;
      const all = [...cases, ...special];
      const shareable = runtimeClass === "namespace" ? all : cases;
      const refused = runtimeClass === "namespace" ? [] : special;
      for (const [name, path, type, script] of all)
        host.write(`path-${name}.yaml`, mounting(`path-${name}`, path, type, script));
      for (const [name, path, , script] of refused) {
        const { code, stdout } = await host.gantry("validate", join(host.manifests, `path-${name}.yaml`));
        expect([code, stdout]).toEqual([1, expect.stringMatching(/:\d+:\d+: .*type: is not possible in a micro-VM/)]);
        // What one without a type is, only the host knows.
        host.write(`path-${name}.yaml`, mounting(`path-${name}`, path, "", script));
        const saysWhy = ({ status }: PodView): boolean => status.message?.includes("a socket, a device") === true;
        await host.waitFor(`path-${name}`, saysWhy, "why it is refused");
      }
      for (const [name] of shareable) await host.waitPhase(`path-${name}`, "Succeeded");
      expect((await host.gantry("logs", "path-file")).stdout).toBe("from the host\n");
      expect(readFileSync(join(shared, "dir/from-pod"), "utf8")).toBe("here\n");
      expect(readFileSync(join(shared, "new-file"), "utf8")).toBe("written\n");
      expect(statSync(join(shared, "new/dir")).mode & 0o777).toBe(0o755);
      expect(statSync(join(shared, "new-file")).mode & 0o777).toBe(0o644);
      for (const [name] of all) host.remove(`path-${name}.yaml`);
      for (const [name] of all) await host.waitGone(`path-${name}`);
      // What is the host's stays.
      expect(readFileSync(join(shared, "file"), "utf8")).toBe("from the host\n");
      socket.close();
    });

    test("of another type than it is, and mended later", async () => {
      mkdirSync(join(shared, "later"));
      host.write("path-wrong.yaml", mounting("path-wrong", join(shared, "later"), "File"));
      const isTold = async (): Promise<boolean> =>
        /path-wrong: .*is a directory, not a file/.test((await host.gantry("status")).stdout);
      await eventually(isTold, { explain: () => host.explain() });
      rmSync(join(shared, "later"), { recursive: true });
      writeFileSync(join(shared, "later"), "");
      await host.waitPhase("path-wrong", "Succeeded");
      await remove("path-wrong");
    });
  });

  describe("ConfigMap and Secret as files", () => {
    const config = (word: string): string =>
      objectText("ConfigMap", "files", {
        data: { "a.txt": word, "b.txt": "b" },
        binaryData: { raw: Buffer.from([0, 255, 10]).toString("base64") },
      });
    const volumeMounts = [
      { name: "all", mountPath: "/all" },
      { name: "some", mountPath: "/some" },
      { name: "secret", mountPath: "/secret" },
      { name: "none", mountPath: "/none" },
    ];
    const volumes = [
      { name: "all", configMap: { name: "files" } },
      {
        name: "some",
        configMap: {
          name: "files",
          defaultMode: 0o440,
          items: [
            { key: "a.txt", path: "deep/er.txt" },
            { key: "b.txt", path: "b", mode: 0o600 },
          ],
        },
      },
      { name: "secret", secret: { secretName: "cred", defaultMode: 0o400 } },
      { name: "none", configMap: { name: "absent", optional: true } },
    ];

    test("items, modes, optional ones; an update comes without a restart, all at once", async () => {
      host.write("files.yaml", config("first"));
      host.write("cred.yaml", objectText("Secret", "cred", { stringData: { token: "s3cret" } }));
      host.write("reader.yaml", podText("reader", { volumeMounts }, { volumes }));
      const before = runOf(await host.waitReady("reader"), "app");
      const modes = "stat -L -c %a /all/a.txt /some/deep/er.txt /some/b /secret/token; ls /none | wc -l";
      expect(
        await inside("reader", `cat /all/a.txt /some/deep/er.txt /secret/token; ${modes}; od -An -tx1 /all/raw`),
      ).toBe("firstfirsts3cret644\n440\n600\n400\n0\n 00 ff 0a\n");
      expect(await inside("reader", "touch /all/x 2>&1 || true")).toContain("Read-only");
      host.write("files.yaml", config("second"));
      await eventually(async () => (await inside("reader", "cat /all/a.txt /some/deep/er.txt")) === "secondsecond", {
        explain: () => host.explain(),
      });
      expect(runOf(await host.waitReady("reader"), "app")).toEqual(before);
      await remove("reader");
    });
  });
});
