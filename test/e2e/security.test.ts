import { existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { podOf, podText } from "./harness/sketch.ts";
import { eventually, type PodView, RUNTIME_CLASSES, type TestHost, testHost } from "./harness.ts";

/** In the form of Docker: no directory may be made, and files change their owner only with the capability for it. */
const NO_DIRECTORIES = {
  defaultAction: "SCMP_ACT_ALLOW",
  archMap: [{ architecture: "SCMP_ARCH_X86_64", subArchitectures: ["SCMP_ARCH_X86"] }],
  syscalls: [
    { names: ["mkdir", "mkdirat", "not_a_system_call"], action: "SCMP_ACT_ERRNO", errnoRet: 28, args: null },
    {
      names: ["chown", "fchownat", "lchown", "fchown"],
      action: "SCMP_ACT_ERRNO",
      errnoRet: 28,
      excludes: { caps: ["CAP_CHOWN"] },
    },
  ],
};

/** Tells whether a security module is turned on. */
function hostHas(file: string): boolean {
  return existsSync(file) && !readFileSync(file, "utf8").startsWith("N");
}

/** What securityContext promises beyond fields.test.ts, as processes see it. */
describe.each(RUNTIME_CLASSES)("%s", (runtimeClass) => {
  let host: TestHost;
  const texts = new Map<string, string>();

  function printing(name: string, script: string, container: object = {}, spec: object = {}): void {
    const once = { restartPolicy: "Never", ...spec };
    texts.set(`${name}.yaml`, podText(name, { command: ["sh", "-c", script], ...container }, once));
  }

  const isOver = ({ status }: PodView): boolean => status.phase === "Failed" || status.phase === "Succeeded";

  async function printed(name: string): Promise<string> {
    await host.waitFor(name, isOver, "the end");
    return (await host.gantry("logs", name)).stdout;
  }

  const status = (pod: PodView, container: string) =>
    pod.status.containerStatuses.find(({ name }) => name === container);

  /** Why a container can't be made. */
  async function refusal(name: string, container = "app", reason = "CreateContainerConfigError"): Promise<string> {
    const waiting = (pod: PodView) => status(pod, container)?.state.waiting;
    const pod = await host.waitFor(name, (one) => waiting(one)?.reason === reason, reason);
    return waiting(pod)?.message ?? "";
  }

  const seccomp = (localhostProfile: string): object => ({
    securityContext: { seccompProfile: { type: "Localhost", localhostProfile } },
  });

  beforeAll(async () => {
    host = testHost({ runtimeClass });
    const folder = join(host.paths.etc, "seccomp");
    mkdirSync(join(folder, "team"), { recursive: true });
    writeFileSync(join(folder, "team/no-directories.json"), JSON.stringify(NO_DIRECTORIES));
    writeFileSync(join(folder, "broken.json"), '{"defaultAction": "SCMP_ACT_ALOW"}');
    writeFileSync(join(folder, "nothing.json"), '{"defaultAction": "SCMP_ACT_ERRNO"}');
    symlinkSync("/etc/passwd", join(folder, "link.json"));
    await host.startDaemon();
    for (const [file, text] of texts) host.write(file, text);
  });
  afterAll(() => host.dispose());

  printing(
    "local",
    "mkdir /made 2>&1; touch /file && chown 5 /file && echo owned; grep Seccomp: /proc/self/status",
    seccomp("team/no-directories.json"),
  );
  test("a seccomp profile of the host's, conditions and all", async () => {
    const text = await printed("local");
    expect(text).toMatch(/mkdir: .*No space left on device/);
    expect(text).toContain("owned");
    expect(text).toMatch(/Seccomp:\s2/);
  });

  printing("local-drop", "touch /file; chown 5 /file 2>&1 || echo not owned", {
    securityContext: {
      allowPrivilegeEscalation: false,
      capabilities: { drop: ["CHOWN"] },
      seccompProfile: { type: "Localhost", localhostProfile: "team/no-directories.json" },
    },
  });
  test("… which hang on the container's capabilities", async () => {
    expect(await printed("local-drop")).toMatch(/No space left on device\nnot owned/);
  });

  texts.set("nothing.yaml", podText("nothing", { command: ["true"], ...seccomp("nothing.json") }));
  test("a profile that lets nothing start says so", async () => {
    const reason = "CreateContainerError";
    expect(await refusal("nothing", "app", reason)).toMatch(/Its seccomp profile may forbid what it takes to start/);
  });

  const bad = ["absent", "broken", "link"].map((name) => ({ name, command: ["true"], ...seccomp(`${name}.json`) }));
  texts.set("bad.yaml", podOf("bad", bad, { restartPolicy: "Never" }));
  test("a profile that is absent, damaged or elsewhere", async () => {
    expect(await refusal("bad", "absent")).toMatch(
      /there is no seccomp profile .*etc\/seccomp\/absent\.json: .*seccomp\.profiles/,
    );
    expect(await refusal("bad", "broken")).toMatch(
      /broken\.json is no seccomp profile: defaultAction: "SCMP_ACT_ALOW"/,
    );
    expect(await refusal("bad", "link")).toMatch(/link\.json is a link that leads out/);
    if (runtimeClass === "microvm") return; // once is enough to wait for the next try
    writeFileSync(join(host.paths.etc, "seccomp/absent.json"), JSON.stringify(NO_DIRECTORIES));
    const ended = (pod: PodView): boolean => status(pod, "absent")?.state.terminated?.exitCode === 0;
    await host.waitFor("bad", ended, "the end, once its profile is there");
  });

  printing(
    "unmasked",
    "grep -c ' /proc/' /proc/self/mounts; cd /proc/sys/net/ipv4 && echo 99 > ip_unprivileged_port_start && cat ip_unprivileged_port_start",
    { securityContext: { procMount: "Unmasked", capabilities: { add: ["NET_ADMIN"] } } },
    { hostUsers: false },
  );
  test("procMount: Unmasked hides nothing", async () => expect(await printed("unmasked")).toBe("0\n99\n"));

  const member = { securityContext: { runAsUser: 1000, runAsGroup: 1000, supplementalGroups: [7] } };
  printing("merge", "id -G", {}, member);
  printing(
    "strict",
    "id -G",
    {},
    { securityContext: { ...member.securityContext, supplementalGroupsPolicy: "Strict" } },
  );
  test("supplementalGroupsPolicy", async () => {
    expect(await printed("merge")).toBe("1000 7 50\n");
    expect(await printed("strict")).toBe("1000 7\n");
  });

  if (runtimeClass === "namespace") {
    const appArmor = (profile: object): object => ({ securityContext: { appArmorProfile: profile } });
    printing("aa-default", "cat /proc/self/attr/current", appArmor({ type: "RuntimeDefault" }));
    printing("aa-local", "true", appArmor({ type: "Localhost", localhostProfile: "no-such-profile" }));
    printing("selinux", "true", { securityContext: { seLinuxOptions: { level: "s0:c1,c2" } } });
    const refused = (name: string): Promise<void> =>
      refusal(name).then((said) => expect(said).toMatch(/^Cannot (enforce AppArmor|set seLinuxOptions): /));
    test("AppArmor and SELinux need a host that has them", async () => {
      await refused("aa-local"); // a profile that no host has loaded
      if (!hostHas("/sys/module/apparmor/parameters/enabled")) await refused("aa-default");
      else expect(await printed("aa-default")).toContain("gantry-default");
      if (!hostHas("/sys/fs/selinux/enforce")) await refused("selinux");
    });
  } else {
    test("AppArmor and SELinux of the host are not the guest's", async () => {
      host.write("aa.yaml", podText("aa", { securityContext: { appArmorProfile: { type: "RuntimeDefault" } } }));
      const { stdout, code } = await host.gantry("validate", join(host.manifests, "aa.yaml"));
      expect(code).toBe(1);
      expect(stdout).toMatch(/aa\.yaml:\d+:\d+: .*appArmorProfile.* is not possible in a micro-VM/);
      host.remove("aa.yaml");
    });
  }

  const sysctl = (name: string, value: string): object => ({ securityContext: { sysctls: [{ name, value }] } });
  printing("bad-sysctl", "true", {}, sysctl("net.core.somaxconn", "many"));
  printing("own-sysctl", "cat /proc/sys/vm/max_map_count", {}, sysctl("vm.max_map_count", "262144"));
  test("sysctls that the kernel does not take, and those of a whole kernel", async () => {
    const said = "the sysctl net.core.somaxconn can't be set";
    await eventually(async () => (await host.gantry("describe", "bad-sysctl")).stdout.includes(said), { what: said });
    if (runtimeClass === "microvm") expect(await printed("own-sysctl")).toBe("262144\n");
    else expect((await host.gantry("status")).stdout).toContain("vm.max_map_count is a setting of the whole host");
  });

  printing(
    "free",
    "cat /proc/self/attr/current 2>/dev/null; echo ran",
    { securityContext: { seLinuxOptions: {}, appArmorProfile: { type: "Unconfined" } } },
    { securityContext: { seLinuxChangePolicy: "MountOption" } },
  );
  test("what asks for nothing of them runs anywhere", async () => expect(await printed("free")).toContain("ran"));
});
