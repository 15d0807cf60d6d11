/** ConfigMap and Secret. */
import { z } from "zod";
import { base64, configKey, text } from "./fields.ts";
import { immutable, objectMeta } from "./meta.ts";

const maybeData = z.record(configKey, text).optional();
const maybeBinaryData = z.record(configKey, base64).optional();

export const configMap = z.strictObject({
  apiVersion: z.literal("v1"),
  binaryData: maybeBinaryData,
  data: maybeData,
  immutable,
  kind: z.literal("ConfigMap"),
  metadata: objectMeta,
});

/** `stringData` is folded into `data` when the object is loaded, as the API server does. */
export const secret = z.strictObject({
  apiVersion: z.literal("v1"),
  data: maybeBinaryData,
  immutable,
  kind: z.literal("Secret"),
  metadata: objectMeta,
  stringData: maybeData,
  type: text.default("Opaque"),
});

export type ConfigMap = z.output<typeof configMap>;
export type Secret = z.output<typeof secret>;
