/** What is kept of the volume of a claim, and where: <lib>/volumes/<namespace>/<name>/. */
import { readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { formatBytes } from "../../bytes.ts";
import { reclaimPolicyOf } from "../../manifest/claim.ts";
import type { PersistentVolumeClaim } from "../../manifest/index.ts";
import { errnoOf, messageOf } from "../../system/errors.ts";
import type { Logger } from "../../system/log.ts";
import { namesIn } from "../names-in.ts";
import { sizeOf } from "./image.ts";

/** What is kept of a claim, for the time after it: what becomes of the data, and what people want to know. */
const record = z.object({
  namespace: z.string(),
  name: z.string(),
  accessModes: z.array(z.string()),
  reclaimPolicy: z.enum(["Retain", "Delete"]),
  storageClassName: z.string().optional(),
  createdAt: z.number(),
  /** Of the file system: its file is larger when a crash kept it from growing. */
  bytes: z.number(),
  /** A pod has had it mounted. */
  used: z.boolean(),
  /** Since when nobody claims it, ms since the epoch. */
  goneSince: z.number().optional(),
});
export type VolumeRecord = z.output<typeof record>;

export interface VolumeFiles {
  readonly namespace: string;
  readonly name: string;
  readonly dir: string;
  readonly record: string;
  /** The file system. */
  readonly image: string;
  /** Where that is mounted for as long as some pod has it. */
  readonly mount: string;
  /** A file for each of these pods, so that a crash forgets none. */
  readonly users: string;
}

export function volumeFiles(root: string, namespace: string, name: string): VolumeFiles {
  const dir = join(root, namespace, name);
  return {
    ...{ namespace, name, dir },
    record: join(dir, "volume.json"),
    image: join(dir, "data.ext4"),
    mount: join(dir, "data"),
    users: join(dir, "pods"),
  };
}

/** By namespace and name. */
export async function allVolumeFiles(root: string): Promise<VolumeFiles[]> {
  const namespaces = (await namesIn(root)).sort();
  const names = await Promise.all(namespaces.map((namespace) => namesIn(join(root, namespace))));
  return namespaces.flatMap((namespace, at) =>
    (names[at] ?? []).sort().map((name) => volumeFiles(root, namespace, name)),
  );
}

/** A volume as it is found on the disk. */
export interface FoundVolume {
  /** Absent when it can't be read: the data is what counts. */
  readonly record: VolumeRecord | undefined;
  /** Of the file; 0 when there is none. */
  readonly fileBytes: number;
  readonly onDiskBytes: number;
  /** What is missing of its data. */
  readonly lost: string | undefined;
}

/** @returns undefined when nothing was made there yet */
export async function findVolume(files: VolumeFiles, log: Logger): Promise<FoundVolume | undefined> {
  const [kept, { bytes: fileBytes, onDisk: onDiskBytes }] = await Promise.all([
    readRecord(files.record, log),
    sizeOf(files.image),
  ]);
  if (kept === undefined && fileBytes === 0) return undefined;
  const known = kept === "damaged" ? undefined : kept;
  const lost = lostOf(files.image, kept, fileBytes);
  // A crash came before the file: nobody has had it.
  if (fileBytes === 0 && lost === undefined) return undefined;
  return { record: known, fileBytes, onDiskBytes, lost };
}

function lostOf(image: string, kept: VolumeRecord | "damaged" | undefined, fileBytes: number): string | undefined {
  if (fileBytes === 0) {
    const hadData = kept === "damaged" || kept?.used === true;
    return hadData ? `its data is gone: ${image} is missing or empty` : undefined;
  }
  if (kept === undefined || kept === "damaged" || fileBytes >= kept.bytes) return undefined;
  return `a part of its data is gone: ${image} has ${formatBytes(fileBytes)} of ${formatBytes(kept.bytes)}`;
}

async function readRecord(path: string, log: Logger): Promise<VolumeRecord | "damaged" | undefined> {
  try {
    return record.parse(JSON.parse(await readFile(path, "utf8")));
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return undefined;
    log.warn({ file: path, reason: messageOf(error) }, "a record is damaged");
    return "damaged";
  }
}

/** What a claim says that is kept. Pure. */
export function recordOf(claim: PersistentVolumeClaim, createdAt: number): Omit<VolumeRecord, "used" | "bytes"> {
  const { metadata, spec } = claim;
  return {
    namespace: metadata.namespace,
    name: metadata.name,
    accessModes: [...(spec.accessModes ?? [])],
    reclaimPolicy: reclaimPolicyOf(claim),
    ...(spec.storageClassName ? { storageClassName: spec.storageClassName } : {}),
    createdAt,
  };
}

export async function saveRecord({ record: path }: VolumeFiles, value: VolumeRecord): Promise<void> {
  await writeFile(`${path}.new`, JSON.stringify(value), { mode: 0o600, flush: true });
  await rename(`${path}.new`, path);
}

/** The pods that have it. */
export async function usersOf({ users }: VolumeFiles): Promise<{ readonly uid: string; readonly key: string }[]> {
  const uids = await namesIn(users);
  return await Promise.all(uids.map(async (uid) => ({ uid, key: await readFile(join(users, uid), "utf8") })));
}
