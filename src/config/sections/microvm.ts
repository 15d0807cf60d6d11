import { z } from "zod";
import { bytes, file, parseBytes } from "./values.ts";

/** "512Mi" or "2Gi/4": the memory of a virtual machine, and how many CPUs it has where that is not one. */
const warmShape = z
  .string()
  .refine((text) => parseShape(text) !== undefined, "must be MEMORY or MEMORY/VCPUS, such as 512Mi or 2Gi/4");

const vmMemory = bytes.refine(
  (size) => size >= 96 * 2 ** 20 && size <= 2 ** 40,
  "must be from 96Mi to 1Ti, and a quantity such as 128Mi",
);
const vmCpus = z.int().min(1).max(64);

export const microvm = z.strictObject({
  qemu: file.optional().describe("Path of QEMU. Default: qemu-system-x86_64, as found in PATH."),
  kernel: file
    .optional()
    .describe("Kernel of micro-VMs. Default: the distribution's cloud kernel, fetched once and unpacked."),
  initramfs: file.optional().describe("Initramfs of micro-VMs, whose /init is Gantry's agent. Default: built here."),
  machine: z
    .enum(["auto", "q35", "microvm"])
    .describe("QEMU's machine type: auto (microvm with hardware virtualization, else q35), q35 or microvm."),
  accelerator: z
    .enum(["auto", "kvm", "tcg"])
    .describe("auto (kvm where it is found to work, else tcg), kvm (hardware) or tcg (software emulation)."),
  memory: vmMemory.describe("Memory of the VM of a pod that has no memory limit; bytes, or a quantity such as 128Mi."),
  vcpus: vmCpus.describe("CPUs of the VM of a pod that has no CPU limit."),
  warm: z
    .union([z.boolean(), z.array(warmShape)])
    .describe(
      "Templates built when the daemon starts: false, true (for a pod without limits), or a list such as [128Mi, 2Gi/4].",
    ),
  templates: z.strictObject({
    keep: z.int().min(0).max(100).describe("Templates kept, one per shape of VM; 0: every VM is booted."),
    maxMemory: bytes.describe("Memory that the templates may take together; bytes, or a quantity such as 1Gi."),
  }),
  standby: z.strictObject({
    keep: z
      .int()
      .min(0)
      .max(100)
      .describe("Micro-VMs kept started and paused for the next pods, one per shape that was used last; 0: none."),
  }),
  bootTimeoutSeconds: z.int().min(1).max(600).describe("How long a micro-VM may take to boot."),
});

/** A machine that often hangs while it boots is nobody's wish. */
export function machineFits({
  machine,
  accelerator,
}: {
  readonly machine?: string | undefined;
  readonly accelerator?: string | undefined;
}): boolean {
  return machine !== "microvm" || accelerator !== "tcg";
}

export const MISFIT = {
  path: ["machine"],
  message: "needs hardware virtualization: under software emulation (tcg) it often hangs while it boots",
};

/** What `microvm.warm` names: MiB and CPUs; undefined when it is not well-formed. */
export function parseShape(text: string): { readonly memoryMiB: number; readonly vcpus: number } | undefined {
  const [size = "", cpus = "1", ...rest] = text.split("/");
  const memory = parseBytes(size);
  const vcpus = /^\d{1,2}$/.test(cpus) ? Number(cpus) : 0;
  if (
    memory === undefined ||
    rest.length > 0 ||
    !vmMemory.safeParse(memory).success ||
    !vmCpus.safeParse(vcpus).success
  )
    return undefined;
  return { memoryMiB: Math.ceil(memory / 2 ** 20), vcpus };
}
