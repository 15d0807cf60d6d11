import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { type VirtualizationFacts, whyNoKvm } from "../../../../src/sandbox/microvm/accelerator/decide.ts";
import { detectAccelerator } from "../../../../src/sandbox/microvm/accelerator/detect.ts";
import { GantryError } from "../../../../src/system/errors.ts";

/** Recorded on a server with VT-x. */
const WITH_KVM: VirtualizationFacts = {
  cpuFlags: new Set(["fpu", "vmx", "ssse3", "hypervisor"]),
  modules: new Set(["kvm", "kvm_intel", "virtio"]),
  device: true,
};
/** Recorded on a cloud machine whose /dev/kvm opens and makes virtual CPUs, but runs no guest. */
const PRETENDER: VirtualizationFacts = {
  cpuFlags: new Set(["fpu", "ssse3", "hypervisor"]),
  modules: new Set(["kvm", "kvm_pvm", "virtio"]),
  device: true,
};

async function cacheFile(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), "gantry-kvm-"));
  onTestFinished(() => rm(directory, { recursive: true, force: true }));
  return join(directory, "lib", "accelerator.json");
}

test("what rules KVM out, without a trial", () => {
  expect(whyNoKvm(WITH_KVM)).toBeUndefined();
  expect(whyNoKvm(PRETENDER)).toMatch(/vmx nor svm/);
  expect(whyNoKvm({ ...WITH_KVM, modules: new Set(["kvm"]) })).toMatch(/kvm_intel/);
  expect(whyNoKvm({ ...WITH_KVM, device: false })).toMatch(/\/dev\/kvm/);
});

test("a host that only looks as if it could is emulated, and nothing is tried", async () => {
  const trial = (): Promise<number> => Promise.reject(new Error("must not be tried"));
  const decision = await detectAccelerator({ cacheFile: await cacheFile(), bootId: "1", trial, facts: PRETENDER });
  expect(decision).toMatchObject({ accelerator: "tcg", why: expect.stringContaining("software emulation") });
});

test("the trial decides, once per boot of the host", async () => {
  const file = await cacheFile();
  let trials = 0;
  const detect = (bootId: string, outcome: Promise<number>) => {
    outcome.catch(() => {});
    const trial = (): Promise<number> => {
      trials++;
      return outcome;
    };
    return detectAccelerator({ cacheFile: file, bootId, facts: WITH_KVM, trial });
  };
  expect(await detect("1", Promise.resolve(180))).toMatchObject({ accelerator: "kvm" });
  expect(await detect("1", Promise.reject(new Error("not asked")))).toMatchObject({ accelerator: "kvm" });
  expect(trials).toBe(1);
  const ended = new GantryError("runtime-failed", "failed to set MSR");
  const failed = await detect("2", Promise.reject(ended));
  expect(failed).toMatchObject({ accelerator: "tcg", why: expect.stringContaining("failed to set MSR") });
  await writeFile(file, "{ torn");
  expect(await detect("2", Promise.resolve(200))).toMatchObject({ accelerator: "kvm" });
  expect(trials).toBe(3);
  // What says nothing about KVM decides nothing.
  const noQemu = new GantryError("host-unsupported", "no QEMU");
  await expect(detect("3", Promise.reject(noQemu))).rejects.toBe(noQemu);
  expect(await detect("3", Promise.resolve(200))).toMatchObject({ accelerator: "kvm" });
});
