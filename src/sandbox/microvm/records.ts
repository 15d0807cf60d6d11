import { z } from "zod";
import type { ContainerConfig } from "../driver.ts";
import { writeAtomically } from "../namespace/files.ts";
import { type Cache, cachedReader, processId, sandboxConfig } from "../namespace/records.ts";

/** What the driver must remember and can neither see on the host nor ask the agent for. */
const sandboxRecord = z.object({
  config: sandboxConfig,
  createdAt: z.number(),
  bootId: z.string(),
  phase: z.enum(["creating", "ready", "stopped"]),
  ips: z.array(z.string()),
  /** Of the pinned network namespace: another one means that somebody replaced or unpinned it. */
  netInode: z.number().exactOptional(),
  /** User and group id that QEMU runs as. */
  uid: z.number().exactOptional(),
  /** Name of the VM's cgroup, where that is not by the sandbox's id. */
  cgroup: z.string().exactOptional(),
  /** QEMU. */
  process: processId.exactOptional(),
  shape: z.object({ memoryMiB: z.number(), vcpus: z.number(), disks: z.number(), logPorts: z.number() }),
  /** How the VM came up. */
  boot: z
    .object({
      how: z.enum(["cold", "clone", "standby"]),
      accelerator: z.enum(["kvm", "tcg"]),
      /** Why that one; for people. */
      why: z.string().default(""),
      machine: z.enum(["q35", "microvm"]).default("q35"),
      /** Start of QEMU to the agent's answer. */
      ms: z.number(),
      /** `uname -r` in the guest. */
      kernel: z.string(),
    })
    .exactOptional(),
});

const containerRecord = z.object({
  id: z.string(),
  name: z.string(),
  attempt: z.number(),
  specHash: z.string(),
  labels: z.record(z.string(), z.string()),
  imageDigest: z.string(),
  imageName: z.string(),
  logPath: z.string(),
  createdAt: z.number(),
  phase: z.enum(["creating", "created", "started"]),
  startedAt: z.number().exactOptional(),
  /** Absent in records of before micro-VMs could do either. */
  stdin: z.enum(["closed", "once", "kept"]).default("closed"),
  tty: z.boolean().default(false),
  /** The disk that its image is behind, and the port that its output comes from. */
  disk: z.number(),
  logPort: z.number(),
});

const exitRecord = z.object({
  exitCode: z.number(),
  finishedAt: z.number(),
  oomKilled: z.boolean(),
  terminationMessage: z.string().exactOptional(),
});

/** How a VM ended that was not stopped. */
const endRecord = z.object({ at: z.number(), reason: z.string(), oom: z.boolean().exactOptional() });

/** As GuestProcess, in JSON. */
const processRecord = z.object({
  env: z.array(z.string()),
  cwd: z.string(),
  uid: z.number(),
  gid: z.number(),
  groups: z.array(z.number()),
  /** Hexadecimal. */
  capabilities: z.string(),
  noNewPrivileges: z.boolean(),
  /** The filter as the kernel takes it, base64. */
  seccomp: z.string().exactOptional(),
});

export type SandboxRecord = z.infer<typeof sandboxRecord>;
export type ContainerRecord = z.infer<typeof containerRecord>;
export type ExitRecord = z.infer<typeof exitRecord>;
export type EndRecord = z.infer<typeof endRecord>;
export type ProcessRecord = z.infer<typeof processRecord>;

/** Undefined where there is none. All @throws GantryError state-damaged */
export interface Records {
  sandbox(path: string): Promise<SandboxRecord | undefined>;
  container(path: string): Promise<ContainerRecord | undefined>;
  exit(path: string): Promise<ExitRecord | undefined>;
  end(path: string): Promise<EndRecord | undefined>;
  process(path: string): Promise<ProcessRecord | undefined>;
  save(path: string, record: SandboxRecord | ContainerRecord | ExitRecord | EndRecord | ProcessRecord): Promise<void>;
  /** A directory is gone, so nobody will ask for what was in it again. */
  forget(directory: string): void;
}

export function createRecords(): Records {
  const caches: { keys(): Iterable<string>; delete(path: string): boolean }[] = [];
  const reader = <T>(schema: z.ZodType<T>): ((path: string) => Promise<T | undefined>) => {
    const cache: Cache<T> = new Map();
    caches.push(cache);
    return cachedReader(schema, cache);
  };
  return {
    sandbox: reader(sandboxRecord),
    container: reader(containerRecord),
    exit: reader(exitRecord),
    end: reader(endRecord),
    process: reader(processRecord),
    save: (path, record) => writeAtomically(path, `${JSON.stringify(record)}\n`, 0o600),
    forget(directory) {
      for (const cache of caches) {
        for (const path of [...cache.keys()]) if (path.startsWith(`${directory}/`)) cache.delete(path);
      }
    },
  };
}

/** The record of a container at its beginning. */
export function newContainerRecord(
  config: ContainerConfig,
  createdAt: number,
  slots: { readonly disk: number; readonly logPort: number },
): ContainerRecord {
  const { id, name, attempt, specHash, labels, imageDigest, imageName, logPath, stdin, tty } = config;
  return {
    ...{ id, name, attempt, specHash, labels: { ...labels }, imageDigest, imageName, logPath, stdin, tty },
    ...{ createdAt, phase: "creating", ...slots },
  };
}
