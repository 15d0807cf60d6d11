import { hostname } from "node:os";
import { join } from "node:path";
import type { Paths } from "../system/paths.ts";
import { formatCidr } from "./cidr.ts";
import type { Config } from "./schema.ts";

/** The configuration of a host on which nothing was configured. */
export function defaultConfig(paths: Paths): Config {
  return {
    manifests: [paths.manifests],
    sources: [],
    webhook: {},
    node: { name: hostname().toLowerCase() },
    api: { names: [] },
    network: {
      subnet: defaultSubnet(paths.rootId),
      mtu: 0,
      serviceSubnet: defaultServiceSubnet(paths.rootId),
      domain: "cluster.local",
    },
    runtime: { oci: "auto", handlers: {} },
    logs: { maxSizeBytes: 10 * 2 ** 20, maxFiles: 5 },
    backoff: { maxSeconds: 300 },
    reconcile: { intervalSeconds: 10, concurrency: 8 },
    events: { keep: 5000 },
    log: { level: "info" },
    userns: { base: 0x40000000 },
    seccomp: { profiles: join(paths.etc, "seccomp") },
    images: { preload: join(paths.lib, "preload"), pullsPerRegistry: 3, pullsPerPod: 3, pullStallSeconds: 300 },
    trust: { imports: "accept" },
    update: { intervalSeconds: 3600, deadlineSeconds: 300, settleSeconds: 10 },
    volumes: { deleteAfterSeconds: 3600 },
    gc: {
      intervalSeconds: 300,
      highPercent: 85,
      lowPercent: 80,
      minAgeSeconds: 120,
      maxAgeSeconds: 0,
      imported: false,
    },
    eviction: {
      memoryAvailable: "100Mi",
      nodefsAvailable: "10%",
      nodefsInodesFree: "5%",
      imagefsAvailable: "15%",
      imagefsInodesFree: "5%",
      minimumReclaim: {
        memoryAvailable: "0",
        nodefsAvailable: "0",
        nodefsInodesFree: "0",
        imagefsAvailable: "0",
        imagefsInodesFree: "0",
      },
      pressureTransitionPeriodSeconds: 300,
      intervalSeconds: 10,
    },
    microvm: {
      machine: "auto",
      accelerator: "auto",
      memory: 128 * 2 ** 20,
      vcpus: 1,
      warm: false,
      templates: { keep: 4, maxMemory: 2 ** 30 },
      standby: { keep: 1 },
      bootTimeoutSeconds: 30,
    },
    secrets: { age: { keys: [] } },
    notify: { command: [], results: "all", tries: 5 },
  };
}

/**
 * The pods' range of a root: 10.77.0.0/16 for the system's own. Another root gets one of the 2,048 /20 ranges of
 * 10.128.0.0/9, chosen by its id, so that several roots on one host rarely meet; `step` tells the next ones to try.
 */
export function defaultSubnet(rootId: string, step = 0): string {
  if (rootId === "") return "10.77.0.0/16";
  const index = (Number.parseInt(rootId, 16) + step) % 2048;
  return formatCidr({ base: 10 * 2 ** 24 + 128 * 2 ** 16 + index * 4096, prefix: 20 });
}

/**
 * The range of the Services' addresses of a root: 10.79.0.0/16 for the system's own. Another root gets one of the
 * 2,048 /23 ranges of 10.80.0.0/12, as with `defaultSubnet`.
 */
export function defaultServiceSubnet(rootId: string, step = 0): string {
  if (rootId === "") return `10.${79 + step}.0.0/16`;
  const index = (Number.parseInt(rootId, 16) + step) % 2048;
  return formatCidr({ base: 10 * 2 ** 24 + 80 * 2 ** 16 + index * 512, prefix: 23 });
}
