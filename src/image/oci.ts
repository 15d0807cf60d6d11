import { z } from "zod";
import { GantryError } from "../system/errors.ts";
import type { ImageConfig } from "./contract.ts";

/** The parts of the OCI image formats that we read (https://github.com/opencontainers/image-spec). */
export const MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json";
export const CONFIG_TYPE = "application/vnd.oci.image.config.v1+json";
export const LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar";
/** The annotation that carries a name or a tag in an OCI layout's index.json. */
export const REF_NAME = "org.opencontainers.image.ref.name";

const digest = z.string().regex(/^sha256:[0-9a-f]{64}$/, "must be sha256: and 64 hex digits");

export const descriptorSchema = z.looseObject({
  mediaType: z.string(),
  digest,
  size: z.int().nonnegative(),
  annotations: z.record(z.string(), z.string()).nullish(),
  platform: z.looseObject({ architecture: z.string(), os: z.string() }).nullish(),
});
export type Descriptor = z.infer<typeof descriptorSchema>;

export const indexSchema = z.looseObject({ schemaVersion: z.literal(2), manifests: z.array(descriptorSchema) });

export const manifestSchema = z.looseObject({
  schemaVersion: z.literal(2),
  config: descriptorSchema,
  layers: z.array(descriptorSchema),
});
export type Manifest = z.infer<typeof manifestSchema>;

const strings = z.array(z.string()).nullish();

export const configSchema = z.looseObject({
  architecture: z.string(),
  os: z.string(),
  config: z
    .looseObject({
      Entrypoint: strings,
      Cmd: strings,
      Env: strings,
      WorkingDir: z.string().nullish(),
      User: z.string().nullish(),
      StopSignal: z.string().nullish(),
    })
    .nullish(),
  rootfs: z.looseObject({ type: z.literal("layers"), diff_ids: z.array(digest).nullish() }),
});
export type ConfigFile = z.infer<typeof configSchema>;

/** manifest.json of "docker save". */
export const dockerManifestSchema = z
  .array(z.looseObject({ Config: z.string(), RepoTags: strings, Layers: z.array(z.string()).nullish() }))
  .min(1, "names no image");

/**
 * Reads one of the documents above.
 * @param what names it for the error, e.g. "index.json"
 * @throws GantryError image-invalid
 */
export function parseDocument<T>(schema: z.ZodType<T>, text: string, what: string): T {
  const fail = (why: string, cause?: unknown): never => {
    throw new GantryError("image-invalid", `${what} is not what the image formats ask for: ${why}`, {
      hint: "Make the image again, e.g. with 'docker save', 'podman save' or 'skopeo copy'.",
      cause,
    });
  };
  let document: unknown;
  try {
    document = JSON.parse(text);
  } catch (error) {
    return fail(error instanceof Error ? error.message : String(error), error);
  }
  const result = schema.safeParse(document);
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  return fail(issue === undefined ? "it does not match" : `${issue.path.join(".") || "document"}: ${issue.message}`);
}

/** What a pod needs from an image's config, with everything absent made explicit. */
export function toImageConfig(file: ConfigFile): ImageConfig {
  const config = file.config ?? {};
  return {
    entrypoint: config.Entrypoint ?? [],
    cmd: config.Cmd ?? [],
    env: (config.Env ?? []).flatMap((entry) => {
      const equals = entry.indexOf("=");
      if (equals === 0 || entry === "") return [];
      return [
        equals === -1 ? { name: entry, value: "" } : { name: entry.slice(0, equals), value: entry.slice(equals + 1) },
      ];
    }),
    workingDir: config.WorkingDir ?? "",
    user: config.User ?? "",
    stopSignal: config.StopSignal || undefined,
  };
}
