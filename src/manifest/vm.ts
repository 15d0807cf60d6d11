/** What a pod asks of its virtual machine, in the annotations gantry.dev/vm-*. Pure. */
import { z } from "zod";
import type { VmOptions } from "../sandbox/driver.ts";
import type { Issue } from "./issue.ts";
import { parseBytes } from "./quantity.ts";
import { issuesOf } from "./zod-issues.ts";

const PREFIX = "gantry.dev/vm-";
type Annotations = Readonly<Record<string, string>> | undefined;

/** Kernel, modules and agent alone take about 60 MiB. */
const LEAST_MEMORY = 96 * 2 ** 20;
const MOST_MEMORY = 2 ** 40;
const MOST_VCPUS = 64;

/** "512Mi" to MiB, rounded up. */
const memory = z.string().transform((text, context) => {
  const bytes = parseBytes(text);
  if (bytes !== undefined && bytes >= LEAST_MEMORY && bytes <= MOST_MEMORY) return Math.ceil(bytes / 2 ** 20);
  context.addIssue({ code: "custom", message: "must be a quantity of memory from 96Mi to 1Ti, such as 512Mi" });
  return z.NEVER;
});

const vcpus = z.string().transform((text, context) => {
  const count = /^\d{1,3}$/.test(text) ? Number(text) : 0;
  if (count >= 1 && count <= MOST_VCPUS) return count;
  context.addIssue({ code: "custom", message: `must be a whole number from 1 to ${MOST_VCPUS}` });
  return z.NEVER;
});

const file = z.string().regex(/^\/[^\0]*[^/\0]$/, "must be the absolute path of a file on the host");

const schema = z
  .strictObject({
    "gantry.dev/vm-memory": memory.exactOptional(),
    "gantry.dev/vm-vcpus": vcpus.exactOptional(),
    "gantry.dev/vm-kernel": file.exactOptional(),
    "gantry.dev/vm-initramfs": file.exactOptional(),
    "gantry.dev/vm-machine": z.enum(["auto", "q35", "microvm"]).exactOptional(),
    "gantry.dev/vm-accelerator": z.enum(["auto", "kvm", "tcg"]).exactOptional(),
  })
  .superRefine((asked, context) => {
    if (asked["gantry.dev/vm-machine"] !== "microvm" || asked["gantry.dev/vm-accelerator"] !== "tcg") return;
    const message = "needs hardware virtualization: under software emulation (tcg) it often hangs while it boots";
    context.addIssue({ code: "custom", path: ["gantry.dev/vm-machine"], message });
  });

/** What is wrong with the annotations of a pod that are about its virtual machine. */
export function vmIssues(annotations: Annotations): Issue[] {
  const asked = ofVm(annotations);
  const parsed = schema.safeParse(asked);
  if (parsed.success) return [];
  return issuesOf(parsed.error, schema, asked).map((issue) => ({
    ...issue,
    message: issue.message.replace(/^unknown field/, "unknown annotation"),
    path: ["metadata", "annotations", ...issue.path],
  }));
}

/** Undefined when the pod asks for nothing; what `vmIssues` refuses is nothing, too. */
export function vmOptions(annotations: Annotations): VmOptions | undefined {
  const asked = ofVm(annotations);
  const parsed = schema.safeParse(asked);
  if (!parsed.success || Object.keys(asked).length === 0) return undefined;
  const {
    "gantry.dev/vm-memory": memoryMiB,
    "gantry.dev/vm-vcpus": cpus,
    "gantry.dev/vm-kernel": kernel,
    "gantry.dev/vm-initramfs": initramfs,
    "gantry.dev/vm-machine": machine,
    "gantry.dev/vm-accelerator": accelerator,
  } = parsed.data;
  return {
    ...(memoryMiB === undefined ? {} : { memoryMiB }),
    ...(cpus === undefined ? {} : { vcpus: cpus }),
    ...(kernel === undefined ? {} : { kernel }),
    ...(initramfs === undefined ? {} : { initramfs }),
    ...(machine === undefined ? {} : { machine }),
    ...(accelerator === undefined ? {} : { accelerator }),
  };
}

function ofVm(annotations: Annotations): Record<string, string> {
  return Object.fromEntries(Object.entries(annotations ?? {}).filter(([name]) => name.startsWith(PREFIX)));
}
