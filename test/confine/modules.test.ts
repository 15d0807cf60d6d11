import { describe, expect, test } from "vitest";
import { type AppArmorHost, loadedProfiles } from "../../src/confine/app-armor.ts";
import { createConfiner } from "../../src/confine/index.ts";
import type { SeLinuxHost } from "../../src/confine/se-linux.ts";
import { GantryError } from "../../src/system/errors.ts";

/** This machine has neither module: these are hosts that do. */
const signal = new AbortController().signal;

function appArmor(profiles: string, more: Partial<AppArmorHost> = {}): { host: AppArmorHost; given: string[] } {
  const given: string[] = [];
  const load = async (text: string): Promise<void> => void given.push(text);
  return { host: { enabled: async () => true, profiles: async () => profiles, load, ...more }, given };
}

const seLinux = (contexts: string, enabled = true): SeLinuxHost => ({
  enabled: async () => enabled,
  contexts: async () => contexts,
});

const confiner = (hosts: { appArmor?: AppArmorHost; seLinux?: SeLinuxHost }) =>
  createConfiner({ seccompProfiles: "/nowhere", ...hosts });

describe("AppArmor", () => {
  const LIST = "/usr/bin/man (enforce)\nmine (complain)\n:ns://other (enforce)\ndocker-default (unconfined)\n";

  test("the kernel's list", () => {
    expect([...loadedProfiles(LIST)]).toEqual(["/usr/bin/man", "mine", ":ns://other", "docker-default"]);
    expect(loadedProfiles("").size).toBe(0);
  });

  test("a profile that is loaded is taken by its name", async () => {
    const { host, given } = appArmor(LIST);
    const found = await confiner({ appArmor: host }).find({ appArmor: { type: "Localhost", name: "mine" } }, signal);
    expect([found, given]).toEqual([{ appArmor: "mine" }, []]);
  });

  test("one that is not is an error that says how to load it", async () => {
    const wish = { appArmor: { type: "Localhost", name: "min" } } as const;
    await expect(confiner({ appArmor: appArmor(LIST).host }).find(wish, signal)).rejects.toMatchObject({
      code: "config-missing",
      message: 'Cannot enforce AppArmor: the profile "min" is not loaded',
      hint: expect.stringContaining("apparmor_parser"),
    });
  });

  test("RuntimeDefault is ours, loaded where it is not yet", async () => {
    const wish = { appArmor: { type: "RuntimeDefault" } } as const;
    const first = appArmor(LIST);
    expect(await confiner({ appArmor: first.host }).find(wish, signal)).toEqual({ appArmor: "gantry-default" });
    expect(first.given).toEqual([expect.stringContaining("profile gantry-default ")]);
    const second = appArmor(`${LIST}gantry-default (enforce)\n`);
    expect(await confiner({ appArmor: second.host }).find(wish, signal)).toEqual({ appArmor: "gantry-default" });
    expect(second.given).toEqual([]);
  });

  test("without apparmor_parser, or without AppArmor, it can't be enforced", async () => {
    const wish = { appArmor: { type: "RuntimeDefault" } } as const;
    const load = async (): Promise<void> => {
      throw new GantryError("command-missing", "apparmor_parser is not installed");
    };
    await expect(confiner({ appArmor: appArmor("", { load }).host }).find(wish, signal)).rejects.toThrow(
      /^Cannot enforce AppArmor: .* can't be loaded: apparmor_parser is not installed/,
    );
    const { host } = appArmor("", { enabled: async () => false });
    await expect(confiner({ appArmor: host }).find(wish, signal)).rejects.toMatchObject({
      code: "host-unsupported",
      message: "Cannot enforce AppArmor: AppArmor is not enabled on the host",
    });
  });
});

describe("SELinux", () => {
  const CONTEXTS =
    'process = "system_u:system_r:box_t:s0"\nfile = "system_u:object_r:box_file_t:s0"\nro_file="x:y:z:s0"\n';
  const labels = async (wish: object, contexts = CONTEXTS) =>
    (await confiner({ seLinux: seLinux(contexts) }).find({ seLinux: wish }, signal)).seLinux;

  test("what is not said is as the policy has it; files have the user and level of the process", async () => {
    expect(await labels({ level: "s0:c1,c2" })).toEqual({
      process: "system_u:system_r:box_t:s0:c1,c2",
      files: "system_u:object_r:box_file_t:s0:c1,c2",
    });
    expect(await labels({ user: "u", role: "r", type: "t" })).toEqual({
      process: "u:r:t:s0",
      files: "u:object_r:box_file_t:s0",
    });
  });

  test("a policy that says nothing of containers", async () => {
    expect(await labels({ type: "spc_t" }, "")).toEqual({
      process: "system_u:system_r:spc_t:s0",
      files: "system_u:object_r:container_file_t:s0",
    });
  });

  test("a host without it", async () => {
    await expect(
      confiner({ seLinux: seLinux("", false) }).find({ seLinux: { level: "s0" } }, signal),
    ).rejects.toMatchObject({
      code: "host-unsupported",
      message: "Cannot set seLinuxOptions: SELinux is not enabled on the host",
    });
  });
});

test("who asks for nothing gets nothing, on any host", async () => {
  const { host } = appArmor("", { enabled: async () => false });
  expect(await confiner({ appArmor: host, seLinux: seLinux("", false) }).find({}, signal)).toEqual({});
});
