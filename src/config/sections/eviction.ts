import { z } from "zod";
import { amountOf } from "../../eviction/thresholds.ts";

/** Bytes or inodes, a quantity, or a share of all there is; kept as text. */
const amount = z
  .union([z.int().min(0), z.string()])
  .transform(String)
  .refine((text) => amountOf(text, 0) !== undefined, "must be a quantity such as 100Mi, or a share such as 10%");

export const minimumReclaim = z.strictObject({
  memoryAvailable: amount.describe("Memory beyond its threshold that is to be free before evictions end."),
  nodefsAvailable: amount.describe("The same of the disk of volumes, layers and logs."),
  nodefsInodesFree: amount.describe("The same of its inodes."),
  imagefsAvailable: amount.describe("The same of the disk of images."),
  imagefsInodesFree: amount.describe("The same of its inodes."),
});

/** Names as the kubelet has them in evictionHard. */
export const eviction = z.strictObject({
  memoryAvailable: amount.describe("With less memory to be had, pods are evicted; 0: never for this reason."),
  nodefsAvailable: amount.describe("The same for the disk of volumes, writable layers and logs."),
  nodefsInodesFree: amount.describe("The same for its inodes."),
  imagefsAvailable: amount.describe("The same for the disk of images; unused images go first."),
  imagefsInodesFree: amount.describe("The same for its inodes."),
  minimumReclaim,
  pressureTransitionPeriodSeconds: z
    .int()
    .min(0)
    .max(86_400)
    .describe("How long the node counts as under pressure, and takes no new pods, after the last reason for it."),
  intervalSeconds: z.int().min(1).max(3600).describe("Time between two looks at the node's memory and disks."),
});
