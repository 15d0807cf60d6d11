import { readFileSync, readlinkSync } from "node:fs";
import { hostname } from "node:os";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { objectText, podOf, podText } from "./harness/sketch.ts";
import { eventually, type PodView, RUNTIME_CLASSES, type TestHost, testHost } from "./harness.ts";

/** What the fields of a pod promise, as its own processes see it. All pods are dropped at once; each test looks at its own. */
describe.each(RUNTIME_CLASSES)("%s", (runtimeClass) => {
  let host: TestHost;
  const texts = new Map<string, string>();

  /** Declares a pod that prints what it sees and ends. */
  function printing(name: string, script: string, container: object = {}, spec: object = {}): void {
    const once = { restartPolicy: "Never", ...spec };
    texts.set(`${name}.yaml`, podText(name, { command: ["sh", "-c", script], ...container }, once));
  }

  /** What it printed. */
  async function printed(name: string, container?: string): Promise<string> {
    await host.waitFor(name, ({ status }) => ["Succeeded", "Failed"].includes(status.phase), "the end");
    const { stdout } = await host.gantry("logs", name, ...(container === undefined ? [] : ["-c", container]));
    return stdout;
  }

  const isOver = ({ status }: PodView): boolean => status.phase === "Failed" || status.phase === "Succeeded";

  beforeAll(async () => {
    host = testHost({ runtimeClass });
    await host.startDaemon();
    for (const [file, text] of texts) host.write(file, text);
  });
  afterAll(() => host.dispose());

  describe("users", () => {
    printing("root", "id -u; id -g; id -G");
    test("root, as the image says", async () => expect(await printed("root")).toBe("0\n0\n0\n"));

    printing(
      "ids",
      "id -u; id -g; id -G; echo $HOME",
      { securityContext: { runAsUser: 1000 } },
      { securityContext: { runAsGroup: 50, supplementalGroups: [7, 8] } },
    );
    test("runAsUser, runAsGroup, supplementalGroups", async () => {
      const [uid, gid, groups] = (await printed("ids")).split("\n");
      expect([uid, gid]).toEqual(["1000", "50"]);
      expect(groups?.split(" ").map(Number)).toEqual(expect.arrayContaining([50, 7, 8]));
    });

    texts.set("non-root.yaml", podText("non-root", { securityContext: { runAsNonRoot: true } }));
    test("runAsNonRoot refuses root", async () => {
      const pod = await host.waitFor(
        "non-root",
        ({ status }) => status.containerStatuses[0]?.state.waiting?.reason === "CreateContainerConfigError",
        "refused",
      );
      expect(pod.status.containerStatuses[0]?.state.waiting?.message).toMatch(/runAsNonRoot/);
    });
  });

  const STATUS = "grep -E '^(CapEff|CapBnd|CapPrm|NoNewPrivs|Seccomp):' /proc/self/status";
  const DEFAULT_CAPS = 0xa80425fbn;

  describe("privileges", () => {
    const fields = (text: string): Record<string, string> =>
      Object.fromEntries(
        text
          .trim()
          .split("\n")
          .map((line) => line.split(/:\s*/, 2)),
      );
    const caps = (text: string): bigint => BigInt(`0x${fields(text)["CapEff"]}`);

    printing("caps-default", STATUS);
    test("no more than the usual capabilities, and a seccomp filter", async () => {
      const text = await printed("caps-default");
      expect(caps(text) & ~DEFAULT_CAPS).toBe(0n);
      expect(caps(text) & 1n).toBe(1n); // chown
      expect(fields(text)["Seccomp"]).toBe("2");
    });

    printing("caps-drop", STATUS, {
      securityContext: {
        capabilities: { drop: ["ALL"], add: ["NET_ADMIN"] },
        allowPrivilegeEscalation: false,
        seccompProfile: { type: "Unconfined" },
      },
    });
    test("drop ALL, add one; no_new_privs; unconfined", async () => {
      const text = await printed("caps-drop");
      expect(caps(text)).toBe(1n << 12n);
      expect(fields(text)).toMatchObject({ NoNewPrivs: "1", Seccomp: "0" });
    });

    printing("caps-user", STATUS, { securityContext: { runAsUser: 1000 } });
    test("a plain user has none", async () => expect(caps(await printed("caps-user"))).toBe(0n));

    if (runtimeClass === "namespace") {
      printing(
        "privileged",
        `${STATUS}; ls /dev | wc -l; touch /proc/sys/kernel/domainname && echo writable; mount -t tmpfs none /mnt 2>&1 || mkdir -p /mnt && mount -t tmpfs none /mnt && echo mounted`,
        { securityContext: { privileged: true } },
      );
      test("privileged: all that the host has, and devices", async () => {
        const text = await printed("privileged");
        const own = BigInt(`0x${/^CapBnd:\s*(\w+)/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1] ?? "0"}`);
        expect(caps(text)).toBe(own);
        expect(fields(text)["Seccomp"]).toBe("0");
        expect(text).toContain("mounted");
      });
    }

    printing(
      "masked",
      "for f in /proc/kcore /proc/keys /proc/timer_list; do [ -e $f ] && head -c1 $f | wc -c; done; ls /proc/scsi 2>/dev/null | wc -l; echo 1 > /proc/sys/kernel/domainname || echo read-only; mount -t tmpfs none /tmp || echo refused",
    );
    test("parts of /proc are masked or read-only, and mounting is refused", async () => {
      const lines = (await printed("masked")).split("\n");
      expect(lines).toEqual(expect.arrayContaining(["0", "read-only", "refused"]));
      expect(lines).not.toContain("1");
    });

    printing(
      "read-only",
      "touch /x || echo no; touch /tmp/x || echo no; touch /data/x && echo yes",
      { securityContext: { readOnlyRootFilesystem: true }, volumeMounts: [{ name: "data", mountPath: "/data" }] },
      { volumes: [{ name: "data", emptyDir: {} }] },
    );
    test("readOnlyRootFilesystem", async () => {
      expect((await printed("read-only")).match(/^(no|yes)$/gm)).toEqual(["no", "no", "yes"]);
    });

    printing(
      "sysctls",
      "cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/kernel/shm_rmid_forced",
      {},
      {
        securityContext: {
          sysctls: [
            { name: "net.ipv4.ip_unprivileged_port_start", value: "99" },
            { name: "kernel.shm_rmid_forced", value: "1" },
          ],
        },
      },
    );
    test("sysctls", async () => expect(await printed("sysctls")).toBe("99\n1\n"));
  });

  describe("environment", () => {
    texts.set(
      "config.yaml",
      `${objectText("ConfigMap", "conf", { data: { A: "from-map", B: "map-b" } })}---\n${objectText("Secret", "cred", { stringData: { S: "secret" } })}`,
    );
    printing("env", "env | sort", {
      envFrom: [
        { configMapRef: { name: "conf" } },
        { prefix: "P_", secretRef: { name: "cred" } },
        { configMapRef: { name: "absent", optional: true } },
      ],
      env: [
        { name: "A", value: "own" },
        { name: "NAME", valueFrom: { fieldRef: { fieldPath: "metadata.name" } } },
        { name: "NS", valueFrom: { fieldRef: { fieldPath: "metadata.namespace" } } },
        { name: "LABEL", valueFrom: { fieldRef: { fieldPath: "metadata.labels['app']" } } },
        { name: "POD_UID", valueFrom: { fieldRef: { fieldPath: "metadata.uid" } } },
        { name: "IP", valueFrom: { fieldRef: { fieldPath: "status.podIP" } } },
        { name: "NODE", valueFrom: { fieldRef: { fieldPath: "spec.nodeName" } } },
        { name: "HOST_IP", valueFrom: { fieldRef: { fieldPath: "status.hostIP" } } },
        { name: "CPU", valueFrom: { resourceFieldRef: { resource: "limits.cpu" } } },
        { name: "MEM_MI", valueFrom: { resourceFieldRef: { resource: "limits.memory", divisor: "1Mi" } } },
        { name: "KEY", valueFrom: { secretKeyRef: { name: "cred", key: "S" } } },
        { name: "NONE", valueFrom: { configMapKeyRef: { name: "conf", key: "absent", optional: true } } },
        { name: "BOTH", value: "$(B) $(KEY) $$(B) $(UNKNOWN)" },
        { name: "EARLY", value: "$(LATER)" },
        { name: "LATER", value: "x" },
      ],
      resources: { limits: { cpu: "1500m", memory: "64Mi" } },
    });
    test("env, envFrom, fieldRef, resourceFieldRef and $(VAR)", async () => {
      const pod = await host.waitFor("env", isOver, "the end");
      const env = Object.fromEntries(
        (await printed("env"))
          .trim()
          .split("\n")
          .map((line) => line.split(/=(.*)/s, 2)),
      );
      expect(env).toMatchObject({
        A: "own",
        B: "map-b",
        P_S: "secret",
        NAME: "env",
        NS: "default",
        LABEL: "",
        POD_UID: pod.metadata.uid,
        NODE: hostname(),
        CPU: "2",
        MEM_MI: "64",
        KEY: "secret",
        BOTH: "map-b secret $(B) $(UNKNOWN)",
        EARLY: "$(LATER)",
        LATER: "x",
        HOSTNAME: "env",
      });
      expect(env["IP"]).toMatch(/^10\./);
      expect(env["HOST_IP"]).toMatch(/^\d+\./);
      expect(env).not.toHaveProperty("NONE");
    });

    printing("args", "", {
      command: ["echo", "$(A)", "$$(A)", "$(NOPE)"],
      args: ["$(A)$(A)"],
      env: [{ name: "A", value: "1" }],
      workingDir: "/www",
    });
    test("command and args expand variables", async () => expect(await printed("args")).toBe("1 $(A) $(NOPE) 11\n"));

    printing("workdir", "pwd", { workingDir: "/made/for/this" });
    test("a workingDir that is not there is made", async () =>
      expect(await printed("workdir")).toBe("/made/for/this\n"));
  });

  describe("names and addresses", () => {
    printing(
      "hosts",
      "hostname; cat /etc/hosts; cat /etc/hostname",
      {},
      { hostname: "other", hostAliases: [{ ip: "10.1.2.3", hostnames: ["db", "db.local"] }] },
    );
    test("hostname, /etc/hosts, hostAliases", async () => {
      const text = await printed("hosts");
      expect(text).toMatch(/^other\n# Kubernetes-managed hosts file/);
      expect(text).toMatch(/^10\.1\.2\.3\tdb\tdb\.local$/m);
      expect(text).toMatch(/^127\.0\.0\.1\tlocalhost$/m);
      expect(text).toMatch(/^10\.\S+\tother$/m);
    });

    printing(
      "dns-none",
      "cat /etc/resolv.conf",
      {},
      {
        dnsPolicy: "None",
        dnsConfig: {
          nameservers: ["10.9.8.7"],
          searches: ["a.local", "b.local"],
          options: [{ name: "ndots", value: "3" }, { name: "edns0" }],
        },
      },
    );
    test("dnsPolicy None with dnsConfig", async () => {
      const lines = (await printed("dns-none")).trim().split("\n");
      expect(lines).toEqual(expect.arrayContaining(["nameserver 10.9.8.7", "search a.local b.local"]));
      expect(lines.find((line) => line.startsWith("options"))?.split(" ")).toEqual(
        expect.arrayContaining(["ndots:3", "edns0"]),
      );
    });

    printing("dns-default", "cat /etc/resolv.conf", {}, { dnsPolicy: "Default" });
    test("dnsPolicy Default has the host's servers", async () => {
      const servers = readFileSync("/etc/resolv.conf", "utf8").match(/^nameserver (?!127\.)\S+/gm) ?? [];
      const text = await printed("dns-default");
      for (const server of servers) expect(text).toContain(server);
    });

    if (runtimeClass === "namespace") {
      texts.set("host-network.yaml", podText("host-network", {}, { hostNetwork: true }));
      test("hostNetwork: the host's interfaces, name and address", async () => {
        const { status } = await host.waitReady("host-network");
        expect(status.podIP).toBe(status.hostIP);
        const seen = await host.gantry(
          "exec",
          "host-network",
          "--",
          "sh",
          "-c",
          "readlink /proc/self/ns/net; hostname",
        );
        expect(seen.stdout).toBe(`${readlinkSync("/proc/self/ns/net")}\n${hostname()}\n`);
      });

      printing(
        "host-pid",
        "cat /proc/1/comm; readlink /proc/1/ns/pid; readlink /proc/self/ns/pid",
        {},
        { hostPID: true },
      );
      printing("own-pid", "cat /proc/1/comm; ls -d /proc/[0-9]* | wc -l");
      test("hostPID; else a process sees its own", async () => {
        expect(await printed("host-pid")).toContain(readFileSync("/proc/1/comm", "utf8"));
        expect(Number((await printed("own-pid")).split("\n")[1])).toBeLessThan(6);
      });

      printing("host-ipc", "readlink /proc/self/ns/ipc", {}, { hostIPC: true });
      printing("own-ipc", "readlink /proc/self/ns/ipc");
      test("hostIPC", async () => {
        expect(await printed("host-ipc")).not.toBe(await printed("own-ipc"));
      });
    }

    texts.set(
      "shared.yaml",
      podOf(
        "shared",
        [
          { name: "one", command: ["sh", "-c", "exec sleep 98765"] },
          {
            name: "two",
            command: [
              "sh",
              "-c",
              "until ps | grep -q '[s]leep 98765'; do sleep 0.1; done; cat /proc/1/comm; echo seen; exec sleep infinity",
            ],
          },
        ],
        { shareProcessNamespace: true },
      ),
    );
    test("shareProcessNamespace: containers see each other", async () => {
      await eventually(async () => (await host.gantry("logs", "shared", "-c", "two")).stdout.includes("seen"), {
        explain: () => host.explain(),
      });
    });

    if (runtimeClass === "namespace") {
      printing("userns", "id -u; cat /proc/self/uid_map; touch /tmp/x && stat -c %u /tmp/x", {}, { hostUsers: false });
      test("hostUsers: false: root inside is nobody outside", async () => {
        const [uid, map, owner] = (await printed("userns")).split("\n");
        expect([uid, owner]).toEqual(["0", "0"]);
        const [inside, outside, length] = (map ?? "").trim().split(/\s+/).map(Number);
        expect([inside, length]).toEqual([0, 65536]);
        expect(outside).toBeGreaterThanOrEqual(65536);
      });

      texts.set(
        "class.yaml",
        objectText("RuntimeClass", "plain-runc", { apiVersion: "node.k8s.io/v1", handler: "runc" }),
      );
      printing("runc", "echo from runc", {}, { runtimeClassName: "plain-runc" });
      test("a RuntimeClass chooses the OCI runtime", async () => expect(await printed("runc")).toBe("from runc\n"));
    }
  });

  describe("limits and ends", () => {
    printing(
      "limits",
      "cat /proc/self/cgroup; for f in /sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/cpu.max /sys/fs/cgroup/cpu/cpu.cfs_quota_us; do [ -f $f ] && echo $f $(cat $f); done; true",
      { resources: { limits: { memory: "48Mi", cpu: "500m" } } },
    );
    test("are in the cgroup", async () => {
      const text = await printed("limits");
      expect(text).toMatch(/(memory\.max|memory\.limit_in_bytes) 50331648/);
      expect(text).toMatch(/(cpu\.max|cpu\.cfs_quota_us) 50000/);
    });

    printing("oom", "x=$(head -c 100m /dev/zero | tr '\\0' x); echo survived", {
      resources: { limits: { memory: "24Mi" } },
    });
    test("too much memory: OOMKilled, 137", async () => {
      const pod = await host.waitFor("oom", isOver, "the end");
      expect(pod.status.containerStatuses[0]?.state.terminated).toMatchObject({ exitCode: 137, reason: "OOMKilled" });
    });

    const message = async (name: string): Promise<string | undefined> =>
      (await host.waitFor(name, isOver, "the end")).status.containerStatuses[0]?.state.terminated?.message;
    printing("message", "echo last words > /dev/termination-log; exit 3");
    test("termination message and exit code", async () => {
      expect(await message("message")).toBe("last words\n");
      expect((await host.waitFor("message", isOver, "")).status.containerStatuses[0]?.state.terminated).toMatchObject({
        exitCode: 3,
        reason: "Error",
      });
    });
    printing("message-path", "echo elsewhere > /tmp/words", { terminationMessagePath: "/tmp/words" });
    test("in a file of one's own", async () => expect(await message("message-path")).toBe("elsewhere\n"));
    printing("message-log", "for i in $(seq 100); do echo line $i; done; exit 1", {
      terminationMessagePolicy: "FallbackToLogsOnError",
    });
    test("from the log, on an error", async () => {
      const text = await message("message-log");
      expect(text?.trimEnd().split("\n").at(-1)).toBe("line 100");
      expect(text?.trimEnd().split("\n").length).toBeLessThanOrEqual(80);
    });
    printing("message-no-log", "echo fine", { terminationMessagePolicy: "FallbackToLogsOnError" });
    test("not from the log when all went well", async () => expect(await message("message-no-log")).toBeUndefined());
    printing("message-long", "head -c 100000 /dev/zero | tr '\\0' m > /dev/termination-log");
    test("at most 4096 bytes", async () => expect((await message("message-long"))?.length).toBe(4096));

    texts.set("deadline.yaml", podText("deadline", {}, { activeDeadlineSeconds: 1 }));
    test("activeDeadlineSeconds", async () => {
      const { status } = await host.waitFor("deadline", isOver, "the end");
      expect([status.phase, status.reason]).toEqual(["Failed", "DeadlineExceeded"]);
      expect((await host.gantry("status")).stdout).toMatch(/deadline\s+0\/1\s+DeadlineExceeded/);
    });

    texts.set(
      "signal.yaml",
      podText("signal", { command: ["sh", "-c", "sh -c 'kill -9 $$$$'; exit $?"] }, { restartPolicy: "Never" }),
    );
    test("a signal gives 128 and its number", async () => {
      const { status } = await host.waitFor("signal", isOver, "the end");
      expect(status.containerStatuses[0]?.state.terminated?.exitCode).toBe(137);
    });
  });
});
