import { z } from "zod";
import { parseListen } from "./listen.ts";
import { eviction, minimumReclaim } from "./sections/eviction.ts";
import { sources, webhook } from "./sections/git.ts";
import { MISFIT, machineFits, microvm } from "./sections/microvm.ts";
import { network, rangesDiffer, SAME_RANGE } from "./sections/network.ts";
import { notify } from "./sections/notify.ts";
import { secrets } from "./sections/secrets.ts";
import { absolutePath, bytes, DNS_LABEL, isDnsSubdomain } from "./sections/values.ts";

/**
 * Every setting of /etc/gantry/config.yaml. The `describe` texts are what `gantry config` prints beside each value;
 * defaults that depend on the root or the host come from defaults.ts.
 */

/** An OCI runtime: one that Gantry knows by name, or the absolute path of another. */
const isRuntime = (name: string): boolean => name === "crun" || name === "runc" || name.startsWith("/");
const runtime = z.string().refine(isRuntime, "must be crun, runc or an absolute path");

const manifests = z
  .array(absolutePath)
  .min(1, "must name at least one folder")
  .describe("Folders whose manifests are run.");

const node = z.strictObject({
  name: z
    .string()
    .refine(isDnsSubdomain, "must be a DNS name (lower-case letters, digits, '-' and '.')")
    .describe("Name of this node."),
});

const api = z.strictObject({
  listen: z
    .string()
    .refine((text) => parseListen(text) !== undefined, "must be ADDRESS:PORT, such as 127.0.0.1:6443")
    .optional()
    .describe(
      "Address and port where the API is served over TLS, for kubectl and 'gantry --host'; clients need credentials ('gantry kubeconfig'). Default: not at all.",
    ),
  names: z
    .array(z.string().regex(/^[A-Za-z0-9.:-]{1,253}$/, "must be a host name or an address"))
    .describe("Names and addresses under which clients reach it, beside those that the host knows itself."),
});

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
  api,
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
  secrets,
  notify,
});
export type Config = Readonly<z.infer<typeof configSchema>>;

/** What one layer (file, environment, flags) may say: any part of the whole. */
export const layerSchema = z.strictObject({
  manifests: manifests.optional(),
  sources: sources.optional(),
  webhook: webhook.partial().optional(),
  node: node.partial().optional(),
  api: api.partial().optional(),
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
  secrets: z.strictObject({ age: secrets.shape.age.partial().optional() }).optional(),
  notify: notify.partial().optional(),
});
export type ConfigLayer = z.input<typeof layerSchema>;
