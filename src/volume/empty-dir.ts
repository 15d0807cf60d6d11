import { chmod, mkdir, rename, rm, stat } from "node:fs/promises";
import { dirname } from "node:path";
import type { Pod } from "../manifest/index.ts";
import { parseBytes } from "../manifest/quantity.ts";
import type { PreparedVolume } from "../sandbox/driver.ts";
import { errnoOf, GantryError } from "../system/errors.ts";
import { ensureTmpfs } from "./tmpfs.ts";

type EmptyDirSource = NonNullable<NonNullable<Pod["spec"]["volumes"]>[number]["emptyDir"]>;

/** sizeLimit in bytes. */
export function sizeLimitOf(source: EmptyDirSource): number | undefined {
  return source.sizeLimit === undefined ? undefined : parseBytes(source.sizeLimit);
}

/**
 * How large a tmpfs may grow: its sizeLimit, but never more than what the pod's containers may use together, as the
 * kubelet has it (feature SizeMemoryBackedVolumes). Undefined when neither is set: the kernel's half of RAM. Pure.
 */
export function memorySize(source: EmptyDirSource, pod: Pod): number | undefined {
  const sizes = [sizeLimitOf(source), podMemoryLimit(pod)].filter((size) => size !== undefined);
  return sizes.length === 0 ? undefined : Math.min(...sizes);
}

/** The pod's own memory limit, else the sum of its containers' when every one has a limit. */
function podMemoryLimit(pod: Pod): number | undefined {
  const own = pod.spec.resources?.limits?.["memory"];
  if (own !== undefined) return parseBytes(own);
  let sum = 0;
  for (const container of pod.spec.containers) {
    const limit = container.resources.limits?.["memory"];
    const bytes = limit === undefined ? undefined : parseBytes(limit);
    if (bytes === undefined || bytes === 0) return undefined;
    sum += bytes;
  }
  return sum;
}

/** @throws GantryError volume-failed, disk-full */
export async function prepareEmptyDir(
  name: string,
  source: EmptyDirSource,
  pod: Pod,
  dir: string,
  signal: AbortSignal,
): Promise<PreparedVolume> {
  const medium = source.medium ?? "";
  switch (medium) {
    case "": {
      await makeOpenDir(dir);
      const limit = sizeLimitOf(source);
      return { name, kind: "emptyDir", hostPath: dir, ...(limit === undefined ? {} : { sizeLimitBytes: limit }) };
    }
    case "Memory": {
      const size = memorySize(source, pod);
      await mkdir(dir, { recursive: true });
      await ensureTmpfs(dir, { mode: "0777", sizeBytes: size }, signal);
      return {
        name,
        kind: "emptyDir",
        hostPath: dir,
        medium: "Memory",
        ...(size === undefined ? {} : { sizeLimitBytes: size }),
      };
    }
    default:
      throw new GantryError(
        "volume-failed",
        `volume ${name}: emptyDir medium ${JSON.stringify(medium)} is not supported`,
        {
          hint: 'Leave medium out for a directory on disk, or use "Memory".',
        },
      );
  }
}

/** Makes it under another name first, so that it never shows without its mode; one that exists keeps what an app made of it. */
async function makeOpenDir(dir: string): Promise<void> {
  if (await exists(dir)) return;
  const fresh = `${dir}.new`;
  await rm(fresh, { recursive: true, force: true });
  await mkdir(dirname(dir), { recursive: true });
  await mkdir(fresh);
  await chmod(fresh, 0o777);
  await rename(fresh, dir);
}

async function exists(path: string): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return false;
    throw error;
  }
}
