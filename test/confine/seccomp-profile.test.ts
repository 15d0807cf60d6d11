import { readFileSync } from "node:fs";
import { mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { readSeccompProfile } from "../../src/confine/seccomp-folder.ts";
import { parseSeccompProfile } from "../../src/confine/seccomp-profile.ts";
import { ociSeccomp } from "../../src/sandbox/namespace/oci/seccomp-profile.ts";

const FACTS = { capabilities: ["CAP_CHOWN"], arch: "x64", kernel: "6.1.0-18-amd64" };

const translated = (profile: object, facts = FACTS) => ociSeccomp(parseSeccompProfile(JSON.stringify(profile)), facts);
/** Names of the system calls whose rules count. */
const counted = (rule: object, facts = FACTS): string[] =>
  translated(
    { defaultAction: "SCMP_ACT_ERRNO", syscalls: [{ name: "x", action: "SCMP_ACT_ALLOW", ...rule }] },
    facts,
  ).syscalls.flatMap(({ names }) => names);

describe("translation", () => {
  test("what is in the OCI's form already stays as it is", () => {
    const plain = {
      defaultAction: "SCMP_ACT_KILL_PROCESS",
      defaultErrnoRet: 38,
      architectures: ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"],
      flags: ["SECCOMP_FILTER_FLAG_LOG"],
      syscalls: [
        { names: ["read", "write"], action: "SCMP_ACT_ALLOW" },
        { names: ["open"], action: "SCMP_ACT_ERRNO", errnoRet: 13 },
        {
          names: ["clone"],
          action: "SCMP_ACT_LOG",
          args: [{ index: 0, value: 0x7e020000, valueTwo: 0, op: "SCMP_CMP_MASKED_EQ" }],
        },
      ],
    };
    expect(translated(plain)).toEqual(plain);
  });

  test("archMap gives this machine's architectures, and without either there are none to name", () => {
    const archMap = [
      { architecture: "SCMP_ARCH_AARCH64", subArchitectures: ["SCMP_ARCH_ARM"] },
      { architecture: "SCMP_ARCH_X86_64", subArchitectures: null },
    ];
    const of = (more: object, arch = "x64") =>
      translated({ defaultAction: "SCMP_ACT_ALLOW", ...more }, { ...FACTS, arch }).architectures;
    expect(of({ archMap })).toEqual(["SCMP_ARCH_X86_64"]);
    expect(of({ archMap }, "arm64")).toEqual(["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"]);
    expect(of({ archMap }, "riscv64")).toEqual([]);
    expect(of({})).toEqual([]);
  });

  test.each<[object, boolean]>([
    [{ includes: { caps: ["CAP_CHOWN"] } }, true],
    [{ includes: { caps: ["CAP_CHOWN", "CAP_SYS_ADMIN"] } }, false],
    [{ excludes: { caps: ["CAP_CHOWN", "CAP_SYS_ADMIN"] } }, false],
    [{ excludes: { caps: ["CAP_SYS_ADMIN"] } }, true],
    [{ includes: { arches: ["amd64", "arm64"] } }, true],
    [{ includes: { arches: ["arm64"] } }, false],
    [{ excludes: { arches: ["amd64"] } }, false],
    [{ includes: { minKernel: "4.8" } }, true],
    [{ includes: { minKernel: "6.1" } }, true],
    [{ includes: { minKernel: "6.10" } }, false],
    [{ excludes: { minKernel: "4.8" } }, false],
    [{ excludes: { minKernel: "7.0" }, includes: null }, true],
    [{ includes: { caps: ["CAP_CHOWN"] }, excludes: { arches: ["amd64"] } }, false],
  ])("the rule with %j counts: %s", (conditions, counts) => {
    expect(counted(conditions)).toEqual(counts ? ["x"] : []);
  });

  // It comes with skopeo, which images need.
  const published = "/usr/share/containers/seccomp.json";
  test("of what containers-common ships: bpf hangs on CAP_SYS_ADMIN", () => {
    const profile = parseSeccompProfile(readFileSync(published, "utf8"));
    const actions = (capabilities: readonly string[]): string[] =>
      ociSeccomp(profile, { ...FACTS, capabilities }).syscalls.flatMap(({ names, action }) =>
        names.includes("bpf") ? action : [],
      );
    expect(actions([])).toEqual(["SCMP_ACT_ERRNO"]);
    expect(actions(["CAP_SYS_ADMIN"])).toEqual(["SCMP_ACT_ALLOW"]);
    expect(ociSeccomp(profile, FACTS)).toMatchObject({
      defaultErrnoRet: 38,
      architectures: ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
    });
  });
});

describe("damaged profiles say what is wrong where", () => {
  const rules = (rule: object) => ({ defaultAction: "SCMP_ACT_ALLOW", syscalls: [rule] });
  test.each<[unknown, string]>([
    [[], "must be an object"],
    [{}, "defaultAction: is required"],
    [{ defaultAction: "SCMP_ACT_ALLOWED" }, "did you mean 'SCMP_ACT_ALLOW'?"],
    [{ defaultAction: "SCMP_ACT_NOTIFY" }, "SCMP_ACT_NOTIFY"],
    [{ defaultAction: "SCMP_ACT_ALLOW", syscals: [] }, "unknown field 'syscals' (did you mean 'syscalls'?)"],
    [rules({ action: "SCMP_ACT_ERRNO" }), "must name at least one system call"],
    [
      rules({ action: "SCMP_ACT_ERRNO", name: "x", names: ["y"] }),
      'syscalls[0].name: "x" can\'t be together with names',
    ],
    [rules({ action: "SCMP_ACT_ERRNO", names: ["x"], errnoRet: 5000 }), "syscalls[0].errnoRet"],
    [
      rules({ action: "SCMP_ACT_ERRNO", names: ["x"], args: [{ index: 6, value: 1, op: "SCMP_CMP_EQ" }] }),
      "syscalls[0].args[0].index",
    ],
    [
      rules({ action: "SCMP_ACT_ERRNO", names: ["x"], args: [{ index: 0, value: 2 ** 60, op: "SCMP_CMP_EQ" }] }),
      "syscalls[0].args[0].value",
    ],
    [
      {
        defaultAction: "SCMP_ACT_ALLOW",
        archMap: [{ architecture: "SCMP_ARCH_X86" }],
        architectures: ["SCMP_ARCH_X86"],
      },
      "can't be together with architectures",
    ],
    [rules({ action: "SCMP_ACT_ERRNO", names: ["x"], includes: { minKernel: "new" } }), "must be a version of Linux"],
  ])("%j", (profile, message) => {
    expect(() => parseSeccompProfile(JSON.stringify(profile))).toThrow(message);
  });

  test("no JSON at all", () => {
    expect(() => parseSeccompProfile('{\n "defaultAction" "x"\n}')).toThrow(/is no JSON: .*line 2/);
  });
});

describe("the folder", () => {
  const SOUND = '{"defaultAction": "SCMP_ACT_ALLOW"}';

  async function folder(): Promise<string> {
    const path = await mkdtemp(join(tmpdir(), "gantry-seccomp-"));
    onTestFinished(() => rm(path, { recursive: true, force: true }));
    await mkdir(join(path, "profiles/team"), { recursive: true });
    await writeFile(join(path, "profiles/team/a.json"), SOUND);
    await writeFile(join(path, "outside.json"), SOUND);
    return join(path, "profiles");
  }

  test("has profiles in it and below, links among them, too", async () => {
    const path = await folder();
    await symlink("team/a.json", join(path, "b.json"));
    for (const name of ["team/a.json", "b.json"])
      expect(await readSeccompProfile(path, name)).toEqual({ defaultAction: "SCMP_ACT_ALLOW" });
  });

  test("is never left", async () => {
    const path = await folder();
    await symlink("../outside.json", join(path, "b.json"));
    await symlink("..", join(path, "up"));
    for (const name of ["b.json", "up/outside.json", "../outside.json"])
      await expect(readSeccompProfile(path, name)).rejects.toThrow("leads out of");
  });

  test("what is absent, a folder, too large, a device or a loop", async () => {
    const path = await folder();
    await writeFile(join(path, "large.json"), " ".repeat(2 * 2 ** 20));
    await symlink("loop.json", join(path, "loop.json"));
    const refused = (name: string) => expect(readSeccompProfile(path, name)).rejects;
    await refused("no.json").toMatchObject({
      code: "config-missing",
      message: `there is no seccomp profile ${path}/no.json`,
    });
    await refused("team/a.json/x").toMatchObject({ code: "config-missing" });
    await refused("team").toMatchObject({ code: "invalid-config" });
    await refused("large.json").toThrow("is larger than");
    await refused("loop.json").toMatchObject({ code: "invalid-config" });
    await expect(readSeccompProfile("/nowhere", "x.json")).rejects.toMatchObject({ code: "config-missing" });
    await expect(readSeccompProfile("/dev", "null")).rejects.toThrow("can't be read");
  });
});
