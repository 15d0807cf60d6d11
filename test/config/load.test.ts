import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type ConfigLayer, defaultSubnet, effectiveConfig, loadConfig, settings } from "../../src/config/index.ts";
import { messageOf } from "../../src/system/errors.ts";
import { layout, type Paths } from "../../src/system/paths.ts";

let paths: Paths;

beforeEach(async () => {
  paths = layout(await mkdtemp(join(tmpdir(), "gantry-config-")));
  await mkdir(dirname(paths.configFile), { recursive: true });
});
afterEach(() => rm(paths.root, { recursive: true, force: true }));

const load = async (text: string, env: Record<string, string> = {}, flags: ConfigLayer = {}) => {
  await writeFile(paths.configFile, text);
  return loadConfig({ paths, env, flags });
};
const errorOf = (text: string, env?: Record<string, string>): Promise<string> =>
  load(text, env).then(
    () => "no error",
    (error: unknown) => messageOf(error),
  );

describe("defaults", () => {
  test("without a file every setting has its default", async () => {
    const config = await loadConfig({ paths, env: {} });
    expect(config).toMatchObject({
      manifests: [paths.manifests],
      logs: { maxSizeBytes: 10 * 1024 * 1024, maxFiles: 5 },
      runtime: { oci: "auto", handlers: {} },
      network: { subnet: defaultSubnet(paths.rootId), mtu: 0 },
    });
    expect(await load("")).toEqual(config);
    expect(await load("# nothing but a comment\n")).toEqual(config);
  });

  test("the range depends on the root and stays inside 10.128.0.0/9", () => {
    expect(defaultSubnet("")).toBe("10.77.0.0/16");
    expect(defaultSubnet("000000")).toBe("10.128.0.0/20");
    expect(defaultSubnet("0007ff")).toBe("10.255.240.0/20");
    expect(defaultSubnet("0007ff", 1)).toBe("10.128.0.0/20");
  });

  test("every setting is described", () => {
    expect(settings.filter((setting) => setting.description === "")).toEqual([]);
    expect(settings.map((setting) => setting.variable)).toContain("GANTRY_LOGS_MAX_SIZE_BYTES");
  });
});

describe("precedence", () => {
  test("flags win over the environment, that over the file, that over defaults", async () => {
    await writeFile(paths.configFile, "log: {level: warn}\nlogs: {maxFiles: 7, maxSizeBytes: 1Mi}\n");
    const effective = await effectiveConfig({
      paths,
      env: { GANTRY_LOG_LEVEL: "error", GANTRY_LOGS_MAX_FILES: "3" },
      flags: { log: { level: "debug" } },
    });
    expect(effective.config.log.level).toBe("debug");
    expect(effective.config.logs).toEqual({ maxSizeBytes: 1024 * 1024, maxFiles: 3 });
    const origins = Object.fromEntries(effective.settings.map((setting) => [setting.path, setting.origin]));
    expect(origins).toMatchObject({
      "log.level": "flag",
      "logs.maxFiles": "GANTRY_LOGS_MAX_FILES",
      "logs.maxSizeBytes": paths.configFile,
      "backoff.maxSeconds": "default",
    });
  });

  test("lists and maps in the environment", async () => {
    const config = await load("", {
      GANTRY_MANIFESTS: "/a:/b",
      GANTRY_RUNTIME_HANDLERS: "kata=/usr/bin/kata,plain=runc",
    });
    expect(config.manifests).toEqual(["/a", "/b"]);
    expect(config.runtime.handlers).toEqual({ kata: "/usr/bin/kata", plain: "runc" });
  });

  test("a mistyped variable is warned about, another one is not", async () => {
    const { warnings } = await effectiveConfig({ paths, env: { GANTRY_NETWRK_SUBNET: "x", GANTRY_ROOT: "/x" } });
    expect(warnings).toEqual(["GANTRY_NETWRK_SUBNET is no setting: did you mean 'GANTRY_NETWORK_SUBNET'?"]);
  });
});

describe("errors say where, what and what instead", () => {
  test("an unknown key", async () => {
    expect(await errorOf("log:\n  level: info\nnetwork:\n  subnett: 10.0.0.0/16\n")).toBe(
      `${paths.configFile}:4:3: network.subnett: unknown setting (did you mean 'network.subnet'?)`,
    );
  });
  test("all problems at once", async () => {
    const text = await errorOf(
      "logs:\n  maxFiles: many\n  maxSizeBytes: 3 apples\nlog: {level: loud}\nmanifests: [rel]\n",
    );
    expect(text.split("\n")).toEqual([
      `${paths.configFile}:2:3: logs.maxFiles: must be a number, not the string "many"`,
      `${paths.configFile}:3:3: logs.maxSizeBytes: "3 apples" must be a number of bytes or a quantity such as 512Ki, 10Mi or 1Gi`,
      `${paths.configFile}:4:7: log.level: "loud" is not one of "debug", "info", "warn", "error"`,
      `${paths.configFile}:5:13: manifests.0: "rel" must be an absolute path`,
    ]);
  });
  test.each([
    ["network: {subnet: 10.0.0.1/16}", "10.0.0.0/16"],
    ["network: {subnet: 300.0.0.0/16}", "must be an IPv4 range"],
    ["network: {subnet: 10.0.0.0/31}", "from /8 to /29"],
    ["network: {mtu: 12}", "must be 0 or from 576"],
    ["runtime: {oci: docker}", "must be auto, crun, runc or an absolute path"],
    ["node: {name: Not_DNS}", "must be a DNS name"],
    ["backoff: {maxSeconds: 301}", "300"],
    ["userns: {base: 100000}", "multiple of 65536"],
    ["log: {level: info", ":1:"],
    ["log:\n\tlevel: info", ":2:"],
    ["log: {level: info}\nlog: {level: warn}", "unique"],
    ["- a\n- b", "must be an object"],
    ["just text", "must be an object"],
    ["log: !!js/function x", "must be an object"],
  ])("%j is refused with %j", async (text, expected) => {
    const message = await errorOf(text);
    expect(message).not.toBe("no error");
    expect(message).toContain(paths.configFile);
    expect(message).toContain(expected);
  });
  test("the environment's variable is named", async () => {
    expect(await errorOf("", { GANTRY_LOGS_MAX_FILES: "many" })).toBe(
      'GANTRY_LOGS_MAX_FILES: logs.maxFiles: must be a number, not the string "many"',
    );
  });
  test("a file that was asked for has to be there; a folder is no file", async () => {
    await expect(loadConfig({ paths, env: {}, file: join(paths.root, "none.yaml") })).rejects.toMatchObject({
      code: "invalid-config",
    });
    await expect(loadConfig({ paths, env: {}, file: paths.root })).rejects.toMatchObject({ code: "invalid-config" });
  });
  test("an alias bomb is refused", async () => {
    const levels = Array.from({ length: 12 }, (_, i) => `l${i + 1}: &l${i + 1} [${Array(9).fill(`*l${i}`).join(",")}]`);
    expect(await errorOf(`l0: &l0 [x]\n${levels.join("\n")}\n`)).not.toBe("no error");
  });
});

describe("microvm", () => {
  test("is read whole from the file, from variables and in three levels", async () => {
    const text = "microvm: {memory: 256Mi, warm: true, templates: {keep: 2}}";
    const { microvm } = await load(text, { GANTRY_MICROVM_TEMPLATES_MAX_MEMORY: "2Gi", GANTRY_MICROVM_VCPUS: "3" });
    expect(microvm).toMatchObject({
      memory: 256 * 2 ** 20,
      vcpus: 3,
      warm: true,
      templates: { keep: 2, maxMemory: 2 ** 31 },
      machine: "auto",
    });
    expect((await load("", { GANTRY_MICROVM_WARM: "128Mi,2Gi/4" })).microvm.warm).toEqual(["128Mi", "2Gi/4"]);
    expect((await load("", { GANTRY_MICROVM_WARM: "true" })).microvm.warm).toBe(true);
  });

  test.each([
    ["microvm: {memory: 64Mi}", /:1:11: microvm\.memory: "64Mi" must be from 96Mi to 1Ti/],
    ["microvm: {warm: [128Mi, 1Gi/900]}", /microvm\.warm\.1: "1Gi\/900" must be MEMORY or MEMORY\/VCPUS/],
    [
      "microvm: {templates: {kepe: 1}}",
      /:1:23: microvm\.templates\.kepe: unknown setting \(did you mean 'microvm\.templates\.keep'/,
    ],
    ["microvm: {machin: q35}", /microvm\.machin: unknown setting \(did you mean 'microvm\.machine'/],
    [
      "microvm: {machine: microvm, accelerator: tcg}",
      /:1:11: microvm\.machine: "microvm" needs hardware virtualization/,
    ],
    ["microvm: {kernel: vmlinuz}", /microvm\.kernel: "vmlinuz" must be an absolute path/],
    ["microvm: {bootTimeoutSeconds: 0}", /microvm\.bootTimeoutSeconds/],
  ])("%s is refused", async (text, message) => {
    expect(await errorOf(text)).toMatch(message);
  });
});
