/** metadata, and the small types that many objects share. */
import { z } from "zod";
import {
  annotationKey,
  dnsLabel,
  dnsName,
  flag,
  maybeFlag,
  maybeInt,
  maybeLabels,
  maybeName,
  maybeSomeText,
  maybeText,
  maybeTexts,
  maybeTime,
  qualifiedName,
  someText,
  text,
} from "./fields.ts";

const managedFieldsEntry = z.strictObject({
  apiVersion: maybeText,
  fieldsType: maybeText,
  fieldsV1: z.unknown().optional(),
  manager: maybeText,
  operation: maybeText,
  subresource: maybeText,
  time: maybeTime,
});

const ownerReference = z.strictObject({
  apiVersion: someText,
  blockOwnerDeletion: maybeFlag,
  controller: maybeFlag,
  kind: someText,
  name: someText,
  uid: someText,
});

const metaFields = {
  annotations: z.record(annotationKey, text).optional(),
  creationTimestamp: maybeTime,
  deletionGracePeriodSeconds: maybeInt,
  deletionTimestamp: maybeTime,
  finalizers: maybeTexts,
  generateName: maybeText,
  generation: maybeInt,
  labels: maybeLabels,
  managedFields: z.array(managedFieldsEntry).optional(),
  ownerReferences: z.array(ownerReference).optional(),
  resourceVersion: maybeText,
  selfLink: maybeText,
  uid: maybeSomeText,
};

/** metadata of an object that lives in a namespace. */
export const objectMeta = z.strictObject({ ...metaFields, name: dnsName, namespace: dnsLabel.default("default") });
/** metadata of an object that belongs to the whole host. */
export const clusterMeta = z.strictObject({ ...metaFields, name: dnsName, namespace: maybeText });
/** metadata in a template: whoever uses the template gives the name. */
export const templateMeta = z.strictObject({ ...metaFields, name: maybeName, namespace: maybeText });

export const localObjectReference = z.strictObject({ name: someText });
export const maybeLocalObjectReference = localObjectReference.optional();

const labelSelectorRequirement = z.strictObject({
  key: qualifiedName,
  operator: z.enum(["In", "NotIn", "Exists", "DoesNotExist"]),
  values: maybeTexts,
});

export const labelSelector = z.strictObject({
  matchExpressions: z.array(labelSelectorRequirement).optional(),
  matchLabels: maybeLabels,
});
export const maybeLabelSelector = labelSelector.optional();

/** `immutable` of ConfigMap and Secret. */
export const immutable = flag.optional();

export type ObjectMeta = z.output<typeof objectMeta>;
export type TemplateMeta = z.output<typeof templateMeta>;
export type LabelSelector = z.output<typeof labelSelector>;
export type ClusterMeta = z.output<typeof clusterMeta>;
