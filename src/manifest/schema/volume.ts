/** Volumes whose content comes from this host or from the manifests. */
import { z } from "zod";
import { fieldRef, resourceFieldRef } from "./env.ts";
import {
  configKey,
  defaultMode,
  dnsLabel,
  maybeFlag,
  maybeInt,
  maybeMode,
  maybeQuantity,
  maybeSomeText,
  maybeText,
  maybeTextMap,
  path,
  pullPolicy,
  relativePath,
  someText,
} from "./fields.ts";
import { maybeLabelSelector, templateMeta } from "./meta.ts";
import { claimSpec, foreignVolumeSources } from "./volume-foreign.ts";

const keyToPath = z.strictObject({ key: configKey, mode: maybeMode, path: relativePath });
const maybeItems = z.array(keyToPath).optional();

const downwardItem = z.strictObject({
  fieldRef: fieldRef.optional(),
  mode: maybeMode,
  path: relativePath,
  resourceFieldRef: resourceFieldRef.optional(),
});
const maybeDownwardItems = z.array(downwardItem).optional();

const namedProjection = z.strictObject({ items: maybeItems, name: someText, optional: maybeFlag }).optional();

const volumeProjection = z.strictObject({
  clusterTrustBundle: z
    .strictObject({
      labelSelector: maybeLabelSelector,
      name: maybeText,
      optional: maybeFlag,
      path: relativePath,
      signerName: maybeText,
    })
    .optional(),
  configMap: namedProjection,
  downwardAPI: z.strictObject({ items: maybeDownwardItems }).optional(),
  podCertificate: z
    .strictObject({
      certificateChainPath: maybeText,
      credentialBundlePath: maybeText,
      keyPath: maybeText,
      keyType: someText,
      maxExpirationSeconds: maybeInt,
      signerName: someText,
      userAnnotations: maybeTextMap,
    })
    .optional(),
  secret: namedProjection,
  serviceAccountToken: z
    .strictObject({ audience: maybeText, expirationSeconds: maybeInt, path: relativePath })
    .optional(),
});

const hostPathType = z.enum([
  "",
  "DirectoryOrCreate",
  "Directory",
  "FileOrCreate",
  "File",
  "Socket",
  "CharDevice",
  "BlockDevice",
]);

const localVolumeSources = {
  configMap: z.strictObject({ defaultMode, items: maybeItems, name: someText, optional: maybeFlag }).optional(),
  downwardAPI: z.strictObject({ defaultMode, items: maybeDownwardItems }).optional(),
  emptyDir: z.strictObject({ medium: maybeText, sizeLimit: maybeQuantity }).optional(),
  ephemeral: z
    .strictObject({
      volumeClaimTemplate: z.strictObject({ metadata: templateMeta.optional(), spec: claimSpec }).optional(),
    })
    .optional(),
  hostPath: z.strictObject({ path, type: hostPathType.default("") }).optional(),
  image: z.strictObject({ pullPolicy: pullPolicy.optional(), reference: maybeSomeText }).optional(),
  persistentVolumeClaim: z.strictObject({ claimName: someText, readOnly: maybeFlag }).optional(),
  projected: z.strictObject({ defaultMode, sources: z.array(volumeProjection).optional() }).optional(),
  secret: z.strictObject({ defaultMode, items: maybeItems, optional: maybeFlag, secretName: someText }).optional(),
};

/** The names of all volume sources; a volume has exactly one of them. */
export const volumeSourceNames: readonly string[] = [
  ...Object.keys(localVolumeSources),
  ...Object.keys(foreignVolumeSources),
];

/** A volume that names no source is an emptyDir. */
export const volume = z
  .strictObject({ name: dnsLabel, ...localVolumeSources, ...foreignVolumeSources })
  .transform((value) => (Object.keys(value).length > 1 ? value : { ...value, emptyDir: {} }));

export type Volume = z.output<typeof volume>;
export type DownwardItem = z.output<typeof downwardItem>;
export type KeyToPath = z.output<typeof keyToPath>;
export type VolumeProjection = z.output<typeof volumeProjection>;
