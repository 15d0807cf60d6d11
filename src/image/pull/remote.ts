import { createHash } from "node:crypto";
import { z } from "zod";
import { GantryError } from "../../system/errors.ts";
import { HOST_ARCHITECTURE } from "../architecture.ts";
import { formatBytes, type Limits, tooBig } from "../limits.ts";
import { type Descriptor, type descriptorSchema, indexSchema, manifestSchema, parseDocument } from "../oci.ts";

/** What a registry says about an image before anything of it is fetched. */
export interface RemoteImage {
  /** Of what the registry has under the name: the manifest or the index. */
  readonly digest: string;
  /** Digests of the index, if there is one, and of the manifest for this machine. */
  readonly digests: readonly string[];
  /** The index of several platforms, byte for byte, if that is what the name stands for. */
  readonly index: string | undefined;
  /** Compressed; undefined for the oldest format, which does not tell. */
  readonly layers: readonly Descriptor[] | undefined;
}

const shapeSchema = z.looseObject({
  schemaVersion: z.int(),
  manifests: z.array(z.unknown()).optional(),
  layers: z.array(z.unknown()).optional(),
});

/**
 * Reads what the registry answered.
 * @param fetch asks for another manifest of the same repository, by its digest
 * @throws GantryError image-invalid, image-missing (nothing for this machine)
 */
export async function readRemote(
  name: string,
  raw: string,
  limits: Limits,
  fetch: (digest: string) => Promise<string>,
): Promise<RemoteImage> {
  const digest = digestOf(raw);
  const asked = name.split("@")[1];
  if (asked !== undefined && asked !== digest) throw lied(`the manifest of ${name}`, digest);
  const shape = parseDocument(shapeSchema, raw, `the manifest of ${name}`);
  if (shape.schemaVersion === 1) return { digest, digests: [digest], index: undefined, layers: undefined };
  if (shape.manifests === undefined)
    return { digest, digests: [digest], index: undefined, layers: layersOf(name, raw, limits) };
  const index = parseDocument(indexSchema, raw, `the index of ${name}`);
  const chosen = forThisMachine(name, index.manifests);
  const manifest = await fetch(chosen.digest);
  const actual = digestOf(manifest);
  if (actual !== chosen.digest) throw lied(`manifest ${chosen.digest} of ${name}`, actual);
  return { digest, digests: [digest, chosen.digest], index: raw, layers: layersOf(name, manifest, limits) };
}

export function digestOf(text: string): string {
  return `sha256:${createHash("sha256").update(text).digest("hex")}`;
}

function layersOf(name: string, text: string, limits: Limits): readonly Descriptor[] {
  const { layers } = parseDocument(manifestSchema, text, `the manifest of ${name}`);
  const total = layers.reduce((sum, layer) => sum + layer.size, 0);
  const limit = formatBytes(limits.inputBytes);
  if (total > limits.inputBytes) throw tooBig(`the layers of ${name} have ${formatBytes(total)}`, limit);
  return layers;
}

/** As skopeo chooses; entries that are no images (attestations) are for the platform "unknown". */
function forThisMachine(name: string, manifests: readonly z.infer<typeof descriptorSchema>[]): Descriptor {
  const chosen = manifests.find(
    ({ platform }) => platform?.os === "linux" && platform.architecture === HOST_ARCHITECTURE,
  );
  if (chosen !== undefined) return chosen;
  const platforms = manifests.flatMap(({ platform }) =>
    platform == null || platform.os === "unknown" ? [] : [`${platform.os}/${platform.architecture}`],
  );
  const list = platforms.length === 0 ? "no platform at all" : [...new Set(platforms)].join(", ");
  throw new GantryError("image-missing", `image ${name} is not made for linux/${HOST_ARCHITECTURE}, but for ${list}`, {
    hint: "Use an image, or a tag of it, that is made for this machine.",
    details: { platforms },
  });
}

function lied(what: string, actual: string): GantryError {
  return new GantryError("image-invalid", `the registry sent other content than promised: ${what} has ${actual}`, {
    kind: "system",
    hint: "The registry, or something between it and this host, is broken or hostile; nothing was kept.",
  });
}
