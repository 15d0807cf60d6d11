/**
 * The manifest that a pod runs by, as text for the state store. A daemon that starts drives its pods on by it
 * before any source has answered, and stops a pod in good order whose manifest went away meanwhile.
 */
import { z } from "zod";
import { hashedPod } from "./desired.ts";
import { pod as podSchema } from "./manifest/schema/index.ts";
import type { DesiredPod } from "./pod/contract.ts";

const accepted = z.object({
  pod: podSchema,
  origin: z.string(),
  runtimeClass: z.string(),
  runtimeHandler: z.string().optional(),
  warnings: z.array(z.string()),
});

export function acceptedText({ pod, origin, runtimeClass, runtimeHandler, warnings }: DesiredPod): string {
  return JSON.stringify({ pod, origin, runtimeClass, runtimeHandler, warnings });
}

/** @throws ZodError or SyntaxError when the text is not one that `acceptedText` made */
export function parseAccepted(text: string): DesiredPod {
  const { pod, origin, runtimeClass, runtimeHandler, warnings } = accepted.parse(JSON.parse(text));
  return hashedPod(pod, { origin, runtimeClass, runtimeHandler, warnings });
}
