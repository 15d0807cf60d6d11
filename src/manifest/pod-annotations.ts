/** Gantry's own wishes in the annotations of a pod, other than about virtual machines and image updates. Pure. */
import { dnsLabelComplaint, dnsNameComplaint } from "./schema/fields.ts";

type Annotations = Readonly<Record<string, string>> | undefined;

/** Pods that must be Ready before this one is started: "db" or "shop/db", separated by commas. */
export const DEPENDS_ON_ANNOTATION = "gantry.dev/depends-on";
/** The first wait before a container that failed again is restarted, 1–300 s; then it doubles. */
export const BACKOFF_BASE_ANNOTATION = "gantry.dev/restart-backoff-base-seconds";
/** How long that wait may grow, 1–300 s. */
export const BACKOFF_MAX_ANNOTATION = "gantry.dev/max-restart-backoff-seconds";
/** A run of this length makes the next failure the first one again, 1–86400 s. */
export const BACKOFF_RESET_ANNOTATION = "gantry.dev/restart-backoff-reset-seconds";
/** "false": a changed pod that does not become ready is left as it is. */
export const ROLLBACK_ANNOTATION = "gantry.dev/rollback";
/** How long a changed pod may take to become ready, 1–86400 s. */
export const PROGRESS_DEADLINE_ANNOTATION = "gantry.dev/progress-deadline-seconds";

const LIMITS: Readonly<Record<string, number>> = {
  [BACKOFF_BASE_ANNOTATION]: 300,
  [BACKOFF_MAX_ANNOTATION]: 300,
  [BACKOFF_RESET_ANNOTATION]: 86_400,
  [PROGRESS_DEADLINE_ANNOTATION]: 86_400,
};

export interface PodAnnotationProblem {
  readonly annotation: string;
  readonly message: string;
  readonly hint?: string;
}

export function podAnnotationProblems(annotations: Annotations): PodAnnotationProblem[] {
  const problems: PodAnnotationProblem[] = [];
  for (const [annotation, most] of Object.entries(LIMITS)) {
    const text = annotations?.[annotation];
    if (text !== undefined && seconds(text, most) === undefined) {
      const message = `must be a number of seconds from 1 to ${most}, not ${JSON.stringify(text)}`;
      problems.push({ annotation, message, hint: 'put it in quotes, e.g. "30"' });
    }
  }
  const base = secondsIn(annotations, BACKOFF_BASE_ANNOTATION);
  const max = secondsIn(annotations, BACKOFF_MAX_ANNOTATION);
  if (base !== undefined && max !== undefined && base > max)
    problems.push({ annotation: BACKOFF_BASE_ANNOTATION, message: `${base} is more than the most, ${max}` });
  const rollback = annotations?.[ROLLBACK_ANNOTATION];
  if (rollback !== undefined && rollback !== "true" && rollback !== "false")
    problems.push({
      annotation: ROLLBACK_ANNOTATION,
      message: `must be "true" or "false", not ${JSON.stringify(rollback)}`,
    });
  const wanted = annotations?.[DEPENDS_ON_ANNOTATION];
  for (const part of wanted === undefined ? [] : wanted.split(",")) {
    const complaint = referenceComplaint(part.trim());
    if (complaint !== undefined)
      problems.push({
        annotation: DEPENDS_ON_ANNOTATION,
        message: `${JSON.stringify(part.trim())} is no pod: ${complaint}`,
        hint: 'e.g. "db, shop/cache"',
      });
  }
  return problems;
}

/** The keys of the pods that one depends on; what is written wrongly is left out. */
export function dependenciesOf(metadata: { readonly namespace: string; readonly annotations?: Annotations }): string[] {
  const wanted = metadata.annotations?.[DEPENDS_ON_ANNOTATION];
  if (wanted === undefined) return [];
  const names = wanted.split(",").map((part) => part.trim());
  const keys = names
    .filter((name) => referenceComplaint(name) === undefined)
    .map((name) => (name.includes("/") ? name : `${metadata.namespace}/${name}`));
  return [...new Set(keys)];
}

/** A number of seconds; undefined where there is none, or none that is allowed. */
export function secondsIn(annotations: Annotations, annotation: string): number | undefined {
  return seconds(annotations?.[annotation] ?? "", LIMITS[annotation] ?? 0);
}

function seconds(text: string, most: number): number | undefined {
  const number = /^\d{1,6}$/.test(text) ? Number(text) : 0;
  return number >= 1 && number <= most ? number : undefined;
}

function referenceComplaint(text: string): string | undefined {
  const [first = "", second, ...rest] = text.split("/");
  if (rest.length > 0) return "it has more than one '/'";
  const namespace = second === undefined ? undefined : dnsLabelComplaint(first);
  if (namespace !== undefined) return `the namespace ${namespace}`;
  const name = dnsNameComplaint(second ?? first);
  return name === undefined ? undefined : `the name ${name}`;
}
