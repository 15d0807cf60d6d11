import type { Accelerator } from "../qemu/args.ts";

/** What can be read of a host about hardware virtualization. */
export interface VirtualizationFacts {
  /** Flags of the first CPU in /proc/cpuinfo. */
  readonly cpuFlags: ReadonlySet<string>;
  /** Names in /sys/module. */
  readonly modules: ReadonlySet<string>;
  /** /dev/kvm can be opened for reading and writing. */
  readonly device: boolean;
}

/** How a boot of the real guest went: its time in ms, or why it failed. */
export type Trial = { readonly ms: number } | { readonly failed: string };

export interface Decision {
  readonly accelerator: Accelerator;
  /** For people: `doctor`, `describe`. */
  readonly why: string;
}

/**
 * Why KVM is out of the question without a trial, or undefined. A device that can be opened proves nothing: where KVM
 * is provided by something else (PVM, for one) even virtual CPUs can be made, and then no guest runs. Pure.
 */
export function whyNoKvm(facts: VirtualizationFacts): string | undefined {
  if (!facts.cpuFlags.has("vmx") && !facts.cpuFlags.has("svm")) {
    return "the CPU shows no hardware virtualization (neither vmx nor svm)";
  }
  if (!facts.modules.has("kvm_intel") && !facts.modules.has("kvm_amd")) {
    return "neither of the kernel modules kvm_intel and kvm_amd is loaded";
  }
  if (!facts.device) return "/dev/kvm cannot be opened";
  return undefined;
}

/** What follows from a boot of the real guest under KVM. Pure. */
export function judgeTrial(trial: Trial): Decision {
  if ("ms" in trial) return { accelerator: "kvm", why: `hardware virtualization: a guest came up in ${trial.ms} ms` };
  return { accelerator: "tcg", why: `software emulation: a guest under KVM did not come up (${trial.failed})` };
}
