/** The annotations by which a pod asks to be kept up to date. Pure. */

/** "registry": the tags of its images are looked up in their registries now and then, as with Podman's label. */
export const AUTO_UPDATE_ANNOTATION = "gantry.dev/auto-update";
/** How many seconds a new image may take to become ready before the old one comes back. */
export const DEADLINE_ANNOTATION = "gantry.dev/auto-update-deadline-seconds";

export const AUTO_UPDATE_VALUES = ["registry", "disabled"] as const;
const MAX_DEADLINE_SECONDS = 3600;

export interface AnnotationProblem {
  readonly annotation: string;
  readonly message: string;
}

/** What is wrong with the annotations of a pod. */
export function annotationProblems(annotations: Readonly<Record<string, string>> | undefined): AnnotationProblem[] {
  const problems: AnnotationProblem[] = [];
  const update = annotations?.[AUTO_UPDATE_ANNOTATION];
  if (update !== undefined && !AUTO_UPDATE_VALUES.some((value) => value === update)) {
    const message = `must be ${AUTO_UPDATE_VALUES.join(" or ")}, not ${JSON.stringify(update)}`;
    problems.push({ annotation: AUTO_UPDATE_ANNOTATION, message });
  }
  const deadline = annotations?.[DEADLINE_ANNOTATION];
  if (deadline !== undefined && secondsIn(deadline) === undefined) {
    const message = `must be a number of seconds from 1 to ${MAX_DEADLINE_SECONDS}, not ${JSON.stringify(deadline)}`;
    problems.push({ annotation: DEADLINE_ANNOTATION, message });
  }
  return problems;
}

export function wantsUpdates(annotations: Readonly<Record<string, string>> | undefined): boolean {
  return annotations?.[AUTO_UPDATE_ANNOTATION] === "registry";
}

/** ms; `defaultMs` where the pod says nothing. */
export function deadlineMs(annotations: Readonly<Record<string, string>> | undefined, defaultMs: number): number {
  const seconds = secondsIn(annotations?.[DEADLINE_ANNOTATION] ?? "");
  return seconds === undefined ? defaultMs : seconds * 1000;
}

function secondsIn(text: string): number | undefined {
  const seconds = /^\d{1,4}$/.test(text) ? Number(text) : 0;
  return seconds >= 1 && seconds <= MAX_DEADLINE_SECONDS ? seconds : undefined;
}
