import { type Stats, statSync } from "node:fs";
import { z } from "zod";
import { GantryError } from "../../system/errors.ts";
import type { ContainerConfig, SandboxConfig } from "../driver.ts";
import { readIfThere, writeAtomically } from "./files.ts";

/**
 * What the driver must remember of a sandbox and cannot see on the host. Facts that can be seen (is it alive, did
 * it exit) are looked up each time instead.
 */
const strings = z.record(z.string(), z.string());
const list = <T extends z.ZodType>(item: T) => z.array(item).readonly();

const resources = z.object({
  cpuShares: z.number().exactOptional(),
  cpuQuotaUs: z.number().exactOptional(),
  cpuPeriodUs: z.number().exactOptional(),
  memoryLimitBytes: z.number().exactOptional(),
  pidsLimit: z.number().exactOptional(),
  oomScoreAdj: z.number().exactOptional(),
});

export const sandboxConfig = z.object({
  id: z.string(),
  pod: z.object({ namespace: z.string(), name: z.string(), uid: z.string() }),
  attempt: z.number(),
  labels: strings,
  runtimeHandler: z.string().exactOptional(),
  hostname: z.string(),
  hostNames: list(z.string()).exactOptional(),
  hostNetwork: z.boolean(),
  hostPID: z.boolean(),
  hostIPC: z.boolean(),
  hostUsers: z.boolean(),
  shareProcessNamespace: z.boolean(),
  portMappings: list(
    z.object({
      hostIP: z.string().exactOptional(),
      hostPort: z.number(),
      containerPort: z.number(),
      protocol: z.enum(["TCP", "UDP", "SCTP"]),
    }),
  ),
  dns: z.discriminatedUnion("policy", [
    z.object({ policy: z.literal("host") }),
    z.object({
      policy: z.literal("custom"),
      nameservers: list(z.string()),
      searches: list(z.string()),
      options: list(z.string()),
    }),
  ]),
  hostAliases: list(z.object({ ip: z.string(), hostnames: list(z.string()) })),
  sysctls: strings,
  resources,
  volumes: list(
    z.object({
      name: z.string(),
      kind: z.enum(["emptyDir", "hostPath", "image", "claim", "configMap", "secret"]),
      hostPath: z.string(),
      medium: z.literal("Memory").exactOptional(),
      sizeLimitBytes: z.number().exactOptional(),
      gid: z.number().exactOptional(),
      readOnly: z.boolean().exactOptional(),
      imageDigest: z.string().exactOptional(),
    }),
  ),
  demand: z
    .object({
      memory: z.object({ bytes: z.number(), open: z.boolean(), limitBytes: z.number().exactOptional() }),
      cpu: z.object({ milli: z.number(), open: z.boolean() }),
    })
    .exactOptional(),
  vm: z
    .object({
      memoryMiB: z.number().exactOptional(),
      vcpus: z.number().exactOptional(),
      kernel: z.string().exactOptional(),
      initramfs: z.string().exactOptional(),
      machine: z.enum(["auto", "q35", "microvm"]).exactOptional(),
      accelerator: z.enum(["auto", "kvm", "tcg"]).exactOptional(),
    })
    .exactOptional(),
}) satisfies z.ZodType<SandboxConfig>;

export const processId = z.object({ pid: z.number(), startTicks: z.number() });

const sandboxRecord = z.object({
  config: sandboxConfig,
  createdAt: z.number(),
  bootId: z.string(),
  phase: z.enum(["creating", "ready", "stopped"]),
  /** The OCI runtime of every container in it: its binary. */
  runtime: z.string(),
  ips: z.array(z.string()),
  /** Inodes of the pinned namespaces: another one means that somebody replaced or unpinned them. */
  inodes: z.record(z.string(), z.number()),
  pause: processId.exactOptional(),
  /** First host id of the 65,536 that a user namespace maps. */
  firstHostId: z.number().exactOptional(),
});

const containerRecord = z.object({
  id: z.string(),
  name: z.string(),
  attempt: z.number(),
  specHash: z.string(),
  labels: strings,
  imageDigest: z.string(),
  imageName: z.string(),
  logPath: z.string(),
  createdAt: z.number(),
  bootId: z.string(),
  phase: z.enum(["creating", "created", "started"]),
  stdin: z.enum(["closed", "once", "kept"]).default("closed"),
  tty: z.boolean().default(false),
  startedAt: z.number().exactOptional(),
  process: processId.exactOptional(),
});

export type SandboxRecord = z.infer<typeof sandboxRecord>;
export type ContainerRecord = z.infer<typeof containerRecord>;

/** Reads and writes records; keeps what it has read for as long as the file is the same. */
export interface Records {
  /** Undefined when there is none. @throws GantryError state-damaged */
  sandbox(path: string): Promise<SandboxRecord | undefined>;
  container(path: string): Promise<ContainerRecord | undefined>;
  save(path: string, record: SandboxRecord | ContainerRecord): Promise<void>;
  /** Its directory is gone, so nobody will ask for it again. */
  forget(path: string): void;
}

export function createRecords(): Records {
  const sandboxes: Cache<SandboxRecord> = new Map();
  const containers: Cache<ContainerRecord> = new Map();
  return {
    sandbox: cachedReader(sandboxRecord, sandboxes),
    container: cachedReader(containerRecord, containers),
    save: (path, record) => writeAtomically(path, `${JSON.stringify(record)}\n`, 0o600),
    forget(path) {
      sandboxes.delete(path);
      containers.delete(path);
    },
  };
}

export type Cache<T> = Map<string, { readonly stamp: Stats; readonly value: T }>;

/** Reads JSON files; keeps what it has read for as long as the file is the same. */
export function cachedReader<T>(schema: z.ZodType<T>, cache: Cache<T>): (path: string) => Promise<T | undefined> {
  return async (path) => {
    const stamp = statSync(path, { throwIfNoEntry: false });
    const known = cache.get(path);
    if (known !== undefined && stamp !== undefined && isSameFile(known.stamp, stamp)) return known.value;
    cache.delete(path);
    const text = stamp === undefined ? undefined : await readIfThere(path);
    if (stamp === undefined || text === undefined) return undefined;
    const value = parse(path, text, schema);
    cache.set(path, { stamp, value });
    return value;
  };
}

/** Told apart by inode and time, since every change is a rename. */
function isSameFile(a: Stats, b: Stats): boolean {
  return a.ino === b.ino && a.mtimeMs === b.mtimeMs && a.size === b.size;
}

function parse<T>(path: string, text: string, schema: z.ZodType<T>): T {
  try {
    return schema.parse(JSON.parse(text));
  } catch (cause) {
    throw new GantryError("state-damaged", `${path} is damaged`, {
      kind: "system",
      cause,
      hint: "The sandbox it belongs to is removed and made anew.",
    });
  }
}

/** The record of a container at its beginning. */
export function newContainerRecord(config: ContainerConfig, createdAt: number, bootId: string): ContainerRecord {
  const { id, name, attempt, specHash, labels, imageDigest, imageName, logPath, stdin, tty } = config;
  return {
    ...{ id, name, attempt, specHash, labels: { ...labels }, imageDigest, imageName, logPath, stdin, tty },
    createdAt,
    bootId,
    phase: "creating",
  };
}
