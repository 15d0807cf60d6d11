import { type Config, parseShape } from "../config/index.ts";
import type { MicrovmDriverOptions } from "../sandbox/microvm/index.ts";

/** The settings `microvm.*` as the driver takes them. */
export function microvmOptions({
  microvm,
}: Config): Pick<MicrovmDriverOptions, "qemu" | "defaults" | "warm" | "templates" | "standby" | "bootTimeoutMs"> {
  const { qemu, kernel, initramfs, machine, accelerator, memory, vcpus, warm, templates, standby } = microvm;
  const plain = { memoryMiB: Math.ceil(memory / 2 ** 20), vcpus };
  const own = { ...(kernel === undefined ? {} : { kernel }), ...(initramfs === undefined ? {} : { initramfs }) };
  const shapes = typeof warm === "boolean" ? (warm ? [plain] : []) : warm.map(parseShape);
  return {
    ...(qemu === undefined ? {} : { qemu }),
    defaults: { ...plain, ...own, machine, accelerator },
    warm: shapes.filter((shape) => shape !== undefined),
    templates: { keep: templates.keep, maxBytes: templates.maxMemory },
    standby: { keep: standby.keep },
    bootTimeoutMs: microvm.bootTimeoutSeconds * 1000,
  };
}
