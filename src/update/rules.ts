/** What to do about a container whose image is being changed. Pure. */
import { isDigest, parseReference, registryOf } from "../image/name.ts";
import type { ContainerState } from "../pod/contract.ts";
import type { UpdateFacts } from "../store/contract.ts";

/** A name with a digest means the same for ever, and so does an id; names under "localhost" are in no registry. */
export function mayMove(image: string): boolean {
  return !isDigest(image) && parseReference(image).digest === undefined && registryOf(image) !== "localhost";
}

/** Whether a container can be given another image by starting it again. */
export function isUpdatable({ kind, state, image, imageDigest }: ContainerState): boolean {
  return kind !== "init" && state.type === "running" && imageDigest !== undefined && mayMove(image);
}

export type Verdict = "wait" | "succeeded" | "failed";

/**
 * How the update of one container stands.
 * @param settleMs for so long it must have run and be ready: one without a probe is ready as soon as it runs
 * @param now ms since the epoch
 */
export function judge(
  facts: UpdateFacts,
  container: ContainerState | undefined,
  settleMs: number,
  now: number,
): Verdict {
  if (container !== undefined && isSettled(facts, container, settleMs, now)) return "succeeded";
  return now >= facts.deadlineAt ? "failed" : "wait";
}

function isSettled(
  facts: UpdateFacts,
  { state, ready, imageDigest }: ContainerState,
  settleMs: number,
  now: number,
): boolean {
  return (
    state.type === "running" &&
    ready &&
    imageDigest !== undefined &&
    imageDigest !== facts.from &&
    now - state.startedAt >= settleMs
  );
}

/** The image that a container must run whatever its name means by now. */
export function pinOf(facts: UpdateFacts | undefined, image: string): string | undefined {
  return facts?.state === "rolled-back" && facts.image === image ? facts.from : undefined;
}

/** For `status` and `describe`: one sentence. */
export function sentenceOf({ container, image, state, from, to, at, reason }: UpdateFacts): string {
  const time = new Date(at).toISOString().replace(/\.\d+Z$/, "Z");
  switch (state) {
    case "rolling":
      return `container ${container}: updating ${image} from ${short(from)} to ${short(to)} since ${time}`;
    case "rolled-back":
      return `container ${container}: ${image} was rolled back to ${short(from)} at ${time}, as ${short(to)} ${reason}`;
  }
}

export function short(digest: string): string {
  return digest.replace(/^sha256:/, "").slice(0, 12);
}
