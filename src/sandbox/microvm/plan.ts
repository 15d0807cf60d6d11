import { availableParallelism } from "node:os";
import { GantryError } from "../../system/errors.ts";
import type { SandboxConfig, VmOptions } from "../driver.ts";
import type { Decision } from "./accelerator/decide.ts";
import type { BootFiles, OwnFiles } from "./boot/index.ts";
import type { Machine, VmShape } from "./qemu/args.ts";
import { type ShapeDefaults, shapeFor } from "./shape.ts";

/** Everything about a VM that is decided before it starts. */
export interface VmPlan {
  readonly shape: VmShape;
  readonly machine: Machine;
  readonly accelerator: Decision["accelerator"];
  /** Why that accelerator; for people. */
  readonly why: string;
  readonly boot: BootFiles;
}

/** What VMs are like unless their pods say otherwise. */
export interface VmDefaults extends ShapeDefaults, OwnFiles {
  readonly machine: Machine | "auto";
  readonly accelerator: Decision["accelerator"] | "auto";
}

export interface PlanPorts {
  readonly defaults: VmDefaults;
  readonly bootFiles: (own: OwnFiles) => Promise<BootFiles>;
  /** Finds out which accelerator works here. */
  readonly detect: () => Promise<Decision>;
}

export type Asked = Pick<SandboxConfig, "resources" | "demand" | "vm">;

/** @throws GantryError unsupported, host-unsupported, command-missing, command-failed */
export async function planVm(ports: PlanPorts, asked: Asked): Promise<VmPlan> {
  return await planFor(ports, asked, await acceleratorFor(ports, asked.vm));
}

/** The same with an accelerator that was decided on. */
export async function planFor(ports: PlanPorts, asked: Asked, { accelerator, why }: Decision): Promise<VmPlan> {
  const { defaults, bootFiles } = ports;
  const machine = machineFor(asked.vm?.machine ?? defaults.machine, accelerator);
  const boot = await bootFiles(ownFiles(defaults, asked.vm));
  return { shape: shapeFor(asked, availableParallelism(), defaults), machine, accelerator, why, boot };
}

/** A kernel of the pod's own does not go with the node's initramfs: that has the modules of another kernel. */
function ownFiles(defaults: VmDefaults, vm: VmOptions = {}): OwnFiles {
  const kernel = vm.kernel ?? defaults.kernel;
  const initramfs = vm.initramfs ?? (vm.kernel === undefined ? defaults.initramfs : undefined);
  return { ...(kernel === undefined ? {} : { kernel }), ...(initramfs === undefined ? {} : { initramfs }) };
}

async function acceleratorFor({ defaults, detect }: PlanPorts, vm: VmOptions = {}): Promise<Decision> {
  const asked = vm.accelerator ?? defaults.accelerator;
  if (asked === "auto") return await detect();
  const by =
    vm.accelerator === undefined
      ? "microvm.accelerator in the configuration"
      : "the annotation gantry.dev/vm-accelerator";
  return {
    accelerator: asked,
    why: `${asked === "kvm" ? "hardware virtualization" : "software emulation"}: ${by} says so`,
  };
}

/** Pure. Under emulation the machine microvm hung while it calibrated its clock in most boots on a busy host. */
export function machineFor(asked: Machine | "auto", accelerator: Decision["accelerator"]): Machine {
  if (asked === "auto") return accelerator === "kvm" ? "microvm" : "q35";
  if (asked === "q35" || accelerator === "kvm") return asked;
  throw new GantryError(
    "unsupported",
    "QEMU's machine microvm needs hardware virtualization, and KVM is not used here",
    {
      hint: "Leave microvm.machine and gantry.dev/vm-machine out, or use q35; 'gantry doctor' says why KVM is not used.",
    },
  );
}
