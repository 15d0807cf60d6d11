/** Where a container's environment comes from. */
import { z } from "zod";
import {
  configKey,
  envName,
  maybeFlag,
  maybeLabel,
  maybeText,
  quantity,
  relativePath,
  someText,
  text,
} from "./fields.ts";

const keySelector = z.strictObject({ key: configKey, name: someText, optional: maybeFlag });

export const fieldRef = z.strictObject({ apiVersion: text.default("v1"), fieldPath: someText });

/** A missing divisor, and 0, mean 1. */
export const resourceFieldRef = z.strictObject({
  containerName: maybeLabel,
  divisor: quantity.default("1").transform((value) => (value === "0" ? "1" : value)),
  resource: someText,
});

const envVarSource = z.strictObject({
  configMapKeyRef: keySelector.optional(),
  fieldRef: fieldRef.optional(),
  fileKeyRef: z
    .strictObject({ key: someText, optional: maybeFlag, path: relativePath, volumeName: someText })
    .optional(),
  resourceFieldRef: resourceFieldRef.optional(),
  secretKeyRef: keySelector.optional(),
});

export const envVar = z.strictObject({ name: envName, value: maybeText, valueFrom: envVarSource.optional() });

const envSource = z.strictObject({ name: someText, optional: maybeFlag }).optional();

export const envFromSource = z.strictObject({ configMapRef: envSource, prefix: maybeText, secretRef: envSource });

export type EnvVar = z.output<typeof envVar>;
export type EnvVarSource = z.output<typeof envVarSource>;
export type EnvFromSource = z.output<typeof envFromSource>;
export type ObjectFieldSelector = z.output<typeof fieldRef>;
export type ResourceFieldSelector = z.output<typeof resourceFieldRef>;
