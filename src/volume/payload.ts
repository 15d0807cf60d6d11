import type { ConfigMap, KeyToPath, Pod, Secret } from "../manifest/index.ts";
import { GantryError } from "../system/errors.ts";
import type { ConfigLookup } from "./contract.ts";

/** One file of a configMap or secret volume. */
export interface PayloadFile {
  readonly content: Uint8Array;
  /** Permission bits. */
  readonly mode: number;
  /** Absent: root's. */
  readonly gid?: number;
}

/** Relative paths and what is to be there. */
export type Payload = ReadonlyMap<string, PayloadFile>;

type PodVolume = NonNullable<Pod["spec"]["volumes"]>[number];
export type ConfigMapSource = NonNullable<PodVolume["configMap"]>;
export type SecretSource = NonNullable<PodVolume["secret"]>;
export type ProjectedSource = NonNullable<PodVolume["projected"]>;
export type DownwardItem = NonNullable<NonNullable<PodVolume["downwardAPI"]>["items"]>[number];

interface Request {
  /** "ConfigMap default/web", for errors. */
  readonly object: string;
  readonly volume: string;
  readonly items: readonly KeyToPath[] | undefined;
  readonly defaultMode: number;
  readonly optional: boolean;
}

const MAX_PATH_BYTES = 4096;
const MAX_COMPONENT_BYTES = 255;

/** The files of a configMap volume. Pure. @throws GantryError config-missing, volume-failed (a bad path in items) */
export function configMapPayload(
  volume: string,
  source: ConfigMapSource,
  namespace: string,
  found: ConfigMap | undefined,
): Payload {
  const request = { object: `ConfigMap ${namespace}/${source.name}`, volume, ...common(source) };
  if (found === undefined) return missingObject(request);
  const data = new Map<string, Uint8Array>();
  for (const [key, text] of Object.entries(found.data ?? {})) data.set(key, Buffer.from(text, "utf8"));
  for (const [key, base64] of Object.entries(found.binaryData ?? {})) data.set(key, Buffer.from(base64, "base64"));
  return select(request, data);
}

/** The files of a secret volume. Pure. @throws GantryError config-missing, volume-failed (a bad path in items) */
export function secretPayload(
  volume: string,
  source: SecretSource,
  namespace: string,
  found: Secret | undefined,
): Payload {
  const request = { object: `Secret ${namespace}/${source.secretName}`, volume, ...common(source) };
  if (found === undefined) return missingObject(request);
  const data = new Map<string, Uint8Array>();
  for (const [key, base64] of Object.entries(found.data ?? {})) data.set(key, Buffer.from(base64, "base64"));
  // Folded into data when the object is loaded; harmless to look at again.
  for (const [key, text] of Object.entries(found.stringData ?? {})) data.set(key, Buffer.from(text, "utf8"));
  return select(request, data);
}

/**
 * The files of a downwardAPI volume. Pure but for `lookup`.
 * @throws GantryError unsupported (no such field), volume-failed (a bad path)
 */
export function downwardPayload(
  volume: string,
  items: readonly DownwardItem[],
  defaultMode: number,
  lookup: Pick<ConfigLookup, "field" | "resource">,
): Payload {
  const request = { object: "the pod", volume, items: undefined, defaultMode, optional: false };
  const files = new Map<string, PayloadFile>();
  for (const { path, mode, fieldRef, resourceFieldRef: of } of items) {
    const clean = cleanPath(request, path, files);
    const value =
      of === undefined
        ? lookup.field(fieldRef?.fieldPath ?? "")
        : lookup.resource(of.containerName ?? "", of.resource, of.divisor);
    files.set(clean, { content: Buffer.from(value, "utf8"), mode: mode ?? defaultMode });
  }
  return checked(request, files);
}

/**
 * The files of a projected volume: those of all its sources in one directory. Where two have the same path the later
 * source's file is there, as in Kubernetes.
 * @throws GantryError config-missing, volume-failed, unsupported
 */
export function projectedPayload(
  volume: string,
  { sources = [], defaultMode }: ProjectedSource,
  namespace: string,
  lookup: ConfigLookup,
): Payload {
  const files = new Map<string, PayloadFile>();
  for (const { configMap, secret, downwardAPI } of sources) {
    const parts = [
      configMap && configMapPayload(volume, { ...configMap, defaultMode }, namespace, lookup.configMap(configMap.name)),
      secret &&
        secretPayload(
          volume,
          { ...secret, secretName: secret.name, defaultMode },
          namespace,
          lookup.secret(secret.name),
        ),
      downwardAPI && downwardPayload(volume, downwardAPI.items ?? [], defaultMode, lookup),
    ];
    for (const part of parts) for (const [path, file] of part ?? []) files.set(path, file);
  }
  return checked({ object: "its sources", volume, items: undefined, defaultMode, optional: false }, files);
}

function common(source: ConfigMapSource | SecretSource) {
  return { items: source.items, defaultMode: source.defaultMode, optional: source.optional ?? false };
}

function missingObject(request: Request): Payload {
  if (request.optional) return new Map();
  throw new GantryError("config-missing", `volume ${request.volume}: ${request.object} does not exist`, {
    hint: "Add it to the manifest folder, or mark the volume source as optional.",
    details: { volume: request.volume, object: request.object },
  });
}

/** Without items every key becomes a file of its name; with items only those. */
function select(request: Request, data: ReadonlyMap<string, Uint8Array>): Payload {
  const { items, defaultMode } = request;
  if (items === undefined || items.length === 0) {
    return checked(request, new Map([...data].map(([key, content]) => [key, { content, mode: defaultMode }])));
  }
  const files = new Map<string, PayloadFile>();
  for (const { key, path, mode } of items) {
    const content = data.get(key);
    if (content === undefined) {
      if (request.optional) continue;
      throw new GantryError(
        "config-missing",
        `volume ${request.volume}: ${request.object} has no key ${JSON.stringify(key)}`,
        {
          hint: data.size === 0 ? "It has no keys at all." : `Its keys are ${[...data.keys()].sort().join(", ")}.`,
          details: { volume: request.volume, object: request.object, key },
        },
      );
    }
    files.set(cleanPath(request, path, files), { content, mode: mode ?? defaultMode });
  }
  return checked(request, files);
}

function cleanPath(request: Request, path: string, files: Payload): string {
  const clean = path
    .split("/")
    .filter((part) => part !== "" && part !== ".")
    .join("/");
  if (path.startsWith("/")) throw badPath(request, path, "it must be relative");
  if (files.has(clean)) throw badPath(request, path, "two items have it");
  return clean;
}

/** The rules of the kubelet's AtomicWriter: nothing leaves the volume, nothing clashes with its own "..data" files. */
function checked(request: Request, files: Payload): Payload {
  for (const path of files.keys()) {
    const parts = path.split("/");
    if (path === "" || path.includes("\0")) throw badPath(request, path, "it names no file");
    if (parts.includes("..")) throw badPath(request, path, "it must not contain '..'");
    if (parts[0]?.startsWith("..")) throw badPath(request, path, "it must not begin with '..'");
    if (
      Buffer.byteLength(path) > MAX_PATH_BYTES ||
      parts.some((part) => Buffer.byteLength(part) > MAX_COMPONENT_BYTES)
    ) {
      throw badPath(request, path, "it is too long for a file name");
    }
    for (let length = 1; length < parts.length; length += 1) {
      const above = parts.slice(0, length).join("/");
      if (files.has(above)) throw badPath(request, path, `${JSON.stringify(above)} is a file already`);
    }
  }
  return files;
}

function badPath(request: Request, path: string, why: string): GantryError {
  return new GantryError(
    "volume-failed",
    `volume ${request.volume}: the path ${JSON.stringify(path)} of ${request.object} can't be used: ${why}`,
    {
      hint: "Change the path in the volume's items.",
      details: { volume: request.volume, path },
    },
  );
}
