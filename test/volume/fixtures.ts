import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  type ConfigMap,
  configMap,
  type PersistentVolumeClaim,
  type Pod,
  persistentVolumeClaim,
  pod,
  type Secret,
  secret,
} from "../../src/manifest/schema/index.ts";
import { silentLogger } from "../../src/system/log.ts";
import { readMounts, unmount } from "../../src/system/mounts.ts";
import { layout } from "../../src/system/paths.ts";
import {
  type ConfigLookup,
  createVolumeManager,
  type VolumeManager,
  type VolumeManagerOptions,
} from "../../src/volume/index.ts";
import { ManualClock } from "../support/manual-clock.ts";

export const signal: AbortSignal = new AbortController().signal;

export async function makeRoot(): Promise<string> {
  return await mkdtemp(join(tmpdir(), "gantry-volume-test-"));
}

export async function removeRoot(root: string): Promise<void> {
  for (const path of (await mountsBelow(root)).reverse()) await unmount(path);
  await rm(root, { recursive: true, force: true });
}

export async function mountsBelow(dir: string): Promise<string[]> {
  return (await readMounts()).map((mount) => mount.path).filter((path) => path === dir || path.startsWith(`${dir}/`));
}

/** How long those volumes outlive their claims that are to go with them, ms. */
export const DELETE_AFTER_MS = 1000;

export function openManager(root: string, more: Partial<VolumeManagerOptions> = {}): VolumeManager {
  return createVolumeManager({
    paths: layout(join(root, "gantry")),
    log: silentLogger(),
    clock: new ManualClock(),
    deleteAfterMs: DELETE_AFTER_MS,
    hasEnded: () => false,
    ...more,
  });
}

/** A pod with these volumes, validated and with all defaults. */
export function podWith(volumes: readonly object[], limits?: Readonly<Record<string, string>>): Pod {
  return pod.parse({
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: "web" },
    spec: {
      containers: [{ name: "app", image: "x", ...(limits === undefined ? {} : { resources: { limits } }) }],
      volumes,
    },
  });
}

export function makeConfigMap(
  name: string,
  data: Readonly<Record<string, string>>,
  binaryData: Readonly<Record<string, string>> = {},
): ConfigMap {
  return configMap.parse({ apiVersion: "v1", kind: "ConfigMap", metadata: { name }, data, binaryData });
}

/** `data` in plain text. */
export function makeSecret(name: string, data: Readonly<Record<string, string>>): Secret {
  const encoded = Object.fromEntries(
    Object.entries(data).map(([key, text]) => [key, Buffer.from(text).toString("base64")]),
  );
  return secret.parse({ apiVersion: "v1", kind: "Secret", metadata: { name }, data: encoded });
}

export function lookupOf(...objects: readonly (ConfigMap | Secret | PersistentVolumeClaim)[]): ConfigLookup {
  const configMaps = objects.filter((object) => object.kind === "ConfigMap");
  const claims = objects.filter((object) => object.kind === "PersistentVolumeClaim");
  const secrets = objects.filter((object) => object.kind === "Secret");
  return {
    configMap: (name) => configMaps.find((object) => object.metadata.name === name),
    claim: (name) => claims.find((object) => object.metadata.name === name),
    secret: (name) => secrets.find((object) => object.metadata.name === name),
    field: (path) => `the ${path}`,
    resource: (container, resource, divisor) => `${resource} of ${container} by ${divisor}`,
  };
}

export function makeClaim(name: string, storage: string, spec: object = {}, annotations = {}): PersistentVolumeClaim {
  return persistentVolumeClaim.parse({
    apiVersion: "v1",
    kind: "PersistentVolumeClaim",
    metadata: { name, annotations },
    spec: { accessModes: ["ReadWriteOnce"], resources: { requests: { storage } }, ...spec },
  });
}
