import type { ConfigMap, KeyToPath, Pod, Secret } from "../manifest/index.ts";
import { GantryError } from "../system/errors.ts";

/** One file of a configMap or secret volume. */
export interface PayloadFile {
  readonly content: Uint8Array;
  /** Permission bits. */
  readonly mode: number;
}

/** Relative paths and what is to be there. */
export type Payload = ReadonlyMap<string, PayloadFile>;

type PodVolume = NonNullable<Pod["spec"]["volumes"]>[number];
export type ConfigMapSource = NonNullable<PodVolume["configMap"]>;
export type SecretSource = NonNullable<PodVolume["secret"]>;

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
    const clean = path
      .split("/")
      .filter((part) => part !== "" && part !== ".")
      .join("/");
    if (path.startsWith("/")) throw badPath(request, path, "it must be relative");
    if (files.has(clean)) throw badPath(request, path, "two items have it");
    files.set(clean, { content, mode: mode ?? defaultMode });
  }
  return checked(request, files);
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
