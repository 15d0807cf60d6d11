import { z } from "zod";
import { amountOf } from "../eviction/thresholds.ts";
import { gitSourceSchema } from "../source/git/schema.ts";
import { cidrOverlaps, cidrProblem, parseCidr } from "./cidr.ts";

/**
 * Every setting of /etc/gantry/config.yaml. The `describe` texts are what `gantry config` prints beside each value;
 * defaults that depend on the root or the host come from defaults.ts.
 */

const absolutePath = z.string().refine((path) => path.startsWith("/"), "must be an absolute path");

/** A whole number, or a binary quantity such as 512Ki, 10Mi, 1Gi. Yields bytes. */
const bytes = z.union([z.int(), z.string()]).transform((value, context) => {
  const parsed = typeof value === "number" ? value : parseBytes(value);
  if (parsed !== undefined) return parsed;
  context.addIssue({ code: "custom", message: "must be a number of bytes or a quantity such as 512Ki, 10Mi or 1Gi" });
  return z.NEVER;
});

const UNITS: Readonly<Record<string, number>> = { "": 1, Ki: 2 ** 10, Mi: 2 ** 20, Gi: 2 ** 30 };

function parseBytes(text: string): number | undefined {
  const match = /^(\d{1,12})(Ki|Mi|Gi)?$/.exec(text);
  const unit = UNITS[match?.[2] ?? ""];
  return match?.[1] === undefined || unit === undefined ? undefined : Number(match[1]) * unit;
}

/** An OCI runtime: one that Gantry knows by name, or the absolute path of another. */
const isRuntime = (name: string): boolean => name === "crun" || name === "runc" || name.startsWith("/");
const runtime = z.string().refine(isRuntime, "must be crun, runc or an absolute path");

const DNS_LABEL = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/;
const isDnsSubdomain = (name: string): boolean =>
  name.length <= 253 && name.split(".").every((label) => DNS_LABEL.test(label));

const cidr = z.string().superRefine((text, context) => {
  const problem = cidrProblem(text);
  if (problem !== undefined) context.addIssue({ code: "custom", message: problem });
});

const manifests = z
  .array(absolutePath)
  .min(1, "must name at least one folder")
  .describe("Folders whose manifests are run.");

const sources = z
  .array(gitSourceSchema)
  .superRefine((list, context) => {
    list.forEach(({ name }, index) => {
      if (list.findIndex((one) => one.name === name) < index)
        context.addIssue({ code: "custom", path: [index, "name"], message: `there are two sources ${name}` });
    });
  })
  .describe("Git repositories that are followed, beside the folders; in the environment as JSON.");

const listenAddress = z
  .string()
  .regex(/^([0-9.]+|\[[0-9a-fA-F:]+\]|localhost):\d{1,5}$/, "must be ADDRESS:PORT, such as 127.0.0.1:9010")
  .refine((text) => Number(text.slice(text.lastIndexOf(":") + 1)) <= 65_535, "has a port above 65535");

const webhook = z.strictObject({
  listen: z
    .union([z.literal(""), listenAddress])
    .describe(
      "Address at which Git servers tell of pushes (POST /hooks/git/NAME), such as 127.0.0.1:9010. Empty: none.",
    ),
});

const node = z.strictObject({
  name: z
    .string()
    .refine(isDnsSubdomain, "must be a DNS name (lower-case letters, digits, '-' and '.')")
    .describe("Name of this node."),
});

const network = z.strictObject({
  subnet: cidr.describe("IPv4 range that pods get their addresses from. Ignored with a conflist of your own."),
  mtu: z
    .int()
    .refine((mtu) => mtu === 0 || (mtu >= 576 && mtu <= 65_535), "must be 0 or from 576 to 65535")
    .describe("MTU of the pods' interfaces in bytes; 0: as the host's default route has it."),
  conflist: z
    .string()
    .min(1)
    .optional()
    .describe(
      "CNI network to use: a path, or the name of a network in cni/net.d. Default: the first file there, else Gantry's own.",
    ),
  serviceSubnet: cidr.describe(
    "IPv4 range that Services get their addresses from; they lead somewhere on this host only.",
  ),
  domain: z
    .string()
    .refine(isDnsSubdomain, "must be a DNS name (lower-case letters, digits, '-' and '.')")
    .describe("Domain of the names of Services and pods: NAME.NAMESPACE.svc.DOMAIN."),
});

/** Of two addresses that are the same, one would never be reached. */
function rangesDiffer({
  subnet,
  serviceSubnet,
}: {
  readonly subnet?: string | undefined;
  readonly serviceSubnet?: string | undefined;
}): boolean {
  const [pods, services] = [parseCidr(subnet ?? ""), parseCidr(serviceSubnet ?? "")];
  return pods === undefined || services === undefined || !cidrOverlaps(pods, services);
}

const SAME_RANGE = { path: ["serviceSubnet"], message: "overlaps network.subnet" };

const runtimeSection = z.strictObject({
  oci: z
    .string()
    .refine((name) => name === "auto" || isRuntime(name), "must be auto, crun, runc or an absolute path")
    .describe("OCI runtime: auto (crun, or runc where crun can't work), crun, runc or a path."),
  handlers: z
    .record(z.string().regex(DNS_LABEL, "must be a DNS label"), runtime)
    .describe("OCI runtimes that a RuntimeClass's handler may name."),
});

const logs = z.strictObject({
  maxSizeBytes: bytes
    .refine((size) => size >= 4096, "must be at least 4096 bytes")
    .describe("A container's log is rotated beyond this size; bytes, or a quantity such as 10Mi."),
  maxFiles: z.int().min(2).max(1000).describe("Log files kept of one container, the live one included."),
});

const backoff = z.strictObject({
  maxSeconds: z.int().min(1).max(300).describe("Longest wait before a crashed container is started again."),
});

const reconcile = z.strictObject({
  intervalSeconds: z.int().min(1).max(3600).describe("Time between full comparisons of what runs with what is wanted."),
  concurrency: z.int().min(1).max(64).describe("Pods that are worked on at the same time."),
});

const events = z.strictObject({
  keep: z.int().min(100).max(1_000_000).describe("Newest events that are kept."),
});

const log = z.strictObject({
  level: z.enum(["debug", "info", "warn", "error"]).describe("Least severe messages that the daemon logs."),
});

const images = z.strictObject({
  preload: absolutePath.describe(
    "Folder whose image files (archives, as 'gantry image export' makes them) are imported at the start; may be missing.",
  ),
  pullsPerRegistry: z.int().min(1).max(64).describe("Images that are pulled from one registry at the same time."),
  pullsPerPod: z.int().min(1).max(64).describe("Images of one pod that are pulled at the same time."),
  pullStallSeconds: z
    .int()
    .min(10)
    .max(3600)
    .describe("A pull in which no byte arrives for this long is given up, and tried again later."),
});

const percent = z.int().min(1).max(100);

const gc = z.strictObject({
  intervalSeconds: z.int().min(10).max(86_400).describe("Time between two looks for garbage: images, blobs, logs."),
  highPercent: percent.describe("With more of the disk in use, unused images and rotated logs are removed …"),
  lowPercent: percent.describe("… until no more than this is in use. Not above gc.highPercent."),
  minAgeSeconds: z.int().min(0).describe("What was used within this time is not removed."),
  maxAgeSeconds: z
    .int()
    .min(0)
    .describe("What was not used for this long is removed, however much room there is; 0: never for its age."),
  imported: z.boolean().describe("Whether imported images may be removed, too: they can't be pulled again."),
});

/** Bytes or inodes, a quantity, or a share of all there is; kept as text. */
const amount = z
  .union([z.int().min(0), z.string()])
  .transform(String)
  .refine((text) => amountOf(text, 0) !== undefined, "must be a quantity such as 100Mi, or a share such as 10%");

const minimumReclaim = z.strictObject({
  memoryAvailable: amount.describe("Memory beyond its threshold that is to be free before evictions end."),
  nodefsAvailable: amount.describe("The same of the disk of volumes, layers and logs."),
  nodefsInodesFree: amount.describe("The same of its inodes."),
  imagefsAvailable: amount.describe("The same of the disk of images."),
  imagefsInodesFree: amount.describe("The same of its inodes."),
});

/** Names as the kubelet has them in evictionHard. */
const eviction = z.strictObject({
  memoryAvailable: amount.describe("With less memory to be had, pods are evicted; 0: never for this reason."),
  nodefsAvailable: amount.describe("The same for the disk of volumes, writable layers and logs."),
  nodefsInodesFree: amount.describe("The same for its inodes."),
  imagefsAvailable: amount.describe("The same for the disk of images; unused images go first."),
  imagefsInodesFree: amount.describe("The same for its inodes."),
  minimumReclaim,
  pressureTransitionPeriodSeconds: z
    .int()
    .min(0)
    .max(86_400)
    .describe("How long the node counts as under pressure, and takes no new pods, after the last reason for it."),
  intervalSeconds: z.int().min(1).max(3600).describe("Time between two looks at the node's memory and disks."),
});

const update = z.strictObject({
  intervalSeconds: z
    .int()
    .min(5)
    .max(7 * 86_400)
    .describe("Time between two looks into the registries for pods with gantry.dev/auto-update: registry."),
  deadlineSeconds: z
    .int()
    .min(1)
    .max(3600)
    .describe("How long a new image may take to become ready before the old one comes back."),
  settleSeconds: z.int().min(0).max(600).describe("How long it must have been running and ready to count as good."),
});

const volumes = z.strictObject({
  deleteAfterSeconds: z
    .int()
    .min(0)
    .max(365 * 86_400)
    .describe(
      "How long the volume of a claim with the reclaim policy Delete is kept after the claim is out of all manifests.",
    ),
});

/** As text in the environment, too: url=…,root=… */
const tuf = z.strictObject({
  url: z.url({ protocol: /^https?$/, error: "must be an http(s) URL" }),
  root: absolutePath,
  intervalSeconds: z.coerce.number().int().min(60).max(86_400).default(3600),
});

const trust = z.strictObject({
  default: z
    .enum(["accept", "reject"])
    .optional()
    .describe(
      "Images that no rule of policy.json covers: accept or reject. Default: as policy.json says, else accept.",
    ),
  imports: z
    .enum(["accept", "policy"])
    .describe(
      "Imported images, which carry no signatures: accept (unless a rule rejects them), or policy (only where the rule accepts unsigned ones).",
    ),
  tuf: tuf
    .optional()
    .describe(
      "TUF repository that policy.json and its keys are followed from: url, root (path of its first root.json) and intervalSeconds.",
    ),
});

const file = absolutePath.refine((path) => !path.endsWith("/"), "must be the path of a file");

/** "512Mi" or "2Gi/4": the memory of a virtual machine, and how many CPUs it has where that is not one. */
const warmShape = z
  .string()
  .refine((text) => parseShape(text) !== undefined, "must be MEMORY or MEMORY/VCPUS, such as 512Mi or 2Gi/4");

const vmMemory = bytes.refine(
  (size) => size >= 96 * 2 ** 20 && size <= 2 ** 40,
  "must be from 96Mi to 1Ti, and a quantity such as 128Mi",
);
const vmCpus = z.int().min(1).max(64);

const microvm = z.strictObject({
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
function machineFits({
  machine,
  accelerator,
}: {
  readonly machine?: string | undefined;
  readonly accelerator?: string | undefined;
}): boolean {
  return machine !== "microvm" || accelerator !== "tcg";
}

const MISFIT = {
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

/** systemd's range for containers ends at 0x6fffffff (systemd.io/UIDS-GIDS); every pod takes 65,536 ids. */
const userns = z.strictObject({
  base: z
    .int()
    .min(65_536)
    .max(0x6fff0000)
    .refine((id) => id % 65_536 === 0, "must be a multiple of 65536")
    .describe("First host uid and gid that pods with hostUsers: false are mapped to; each takes 65,536."),
});

const seccomp = z.strictObject({
  profiles: absolutePath.describe(
    "Folder of the seccomp profiles (JSON) that seccompProfile.localhostProfile names; may be missing.",
  ),
});

/** The whole configuration, every value known. */
export const configSchema = z.strictObject({
  manifests,
  sources,
  webhook,
  node,
  network: network.refine(rangesDiffer, SAME_RANGE),
  runtime: runtimeSection,
  logs,
  backoff,
  reconcile,
  events,
  log,
  userns,
  seccomp,
  images,
  trust,
  gc: gc.refine(({ lowPercent, highPercent }) => lowPercent <= highPercent, {
    path: ["lowPercent"],
    message: "must not be above gc.highPercent",
  }),
  eviction,
  update,
  volumes,
  microvm: microvm.refine(machineFits, MISFIT),
});
export type Config = Readonly<z.infer<typeof configSchema>>;

/** What one layer (file, environment, flags) may say: any part of the whole. */
export const layerSchema = z.strictObject({
  manifests: manifests.optional(),
  sources: sources.optional(),
  webhook: webhook.partial().optional(),
  node: node.partial().optional(),
  network: network.partial().refine(rangesDiffer, SAME_RANGE).optional(),
  runtime: runtimeSection.partial().optional(),
  logs: logs.partial().optional(),
  backoff: backoff.partial().optional(),
  reconcile: reconcile.partial().optional(),
  events: events.partial().optional(),
  log: log.partial().optional(),
  userns: userns.partial().optional(),
  seccomp: seccomp.partial().optional(),
  images: images.partial().optional(),
  trust: trust.partial().optional(),
  gc: gc.partial().optional(),
  eviction: eviction.partial().extend({ minimumReclaim: minimumReclaim.partial().optional() }).optional(),
  update: update.partial().optional(),
  volumes: volumes.partial().optional(),
  microvm: microvm
    .partial()
    .extend({ templates: microvm.shape.templates.partial().optional() })
    .refine(machineFits, MISFIT)
    .optional(),
});
export type ConfigLayer = z.input<typeof layerSchema>;
