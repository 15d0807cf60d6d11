/** What an object says, in its annotations, of how it comes from a Git repository into force and goes again. Pure. */

type Annotations = Readonly<Record<string, string>> | undefined;

/** "false": the object stays when the repository has it no more. */
export const PRUNE_ANNOTATION = "gantry.dev/prune";
/** A whole number, 0 where there is none: lower ones become ready before higher ones are begun. */
export const WAVE_ANNOTATION = "gantry.dev/wave";

const WAVE = /^-?\d{1,6}$/;

/** 0, too, for what is written wrongly: that is an error of the manifest. */
export function waveIn(annotations: Annotations): number {
  const text = annotations?.[WAVE_ANNOTATION] ?? "0";
  return WAVE.test(text) ? Number(text) : 0;
}

export function staysUnpruned(annotations: Annotations): boolean {
  return annotations?.[PRUNE_ANNOTATION] === "false";
}

export interface SyncAnnotationProblem {
  readonly annotation: string;
  readonly message: string;
  readonly hint: string;
}

export function syncAnnotationProblems(annotations: Annotations): SyncAnnotationProblem[] {
  const problems: SyncAnnotationProblem[] = [];
  const [wave, prune] = [annotations?.[WAVE_ANNOTATION], annotations?.[PRUNE_ANNOTATION]];
  if (wave !== undefined && !WAVE.test(wave)) {
    const message = `must be a whole number of at most six digits, not ${JSON.stringify(wave)}`;
    problems.push({ annotation: WAVE_ANNOTATION, message, hint: 'put it in quotes, e.g. "1"' });
  }
  if (prune !== undefined && prune !== "true" && prune !== "false") {
    const message = `must be "true" or "false", not ${JSON.stringify(prune)}`;
    problems.push({ annotation: PRUNE_ANNOTATION, message, hint: '"false" keeps the object when its file is gone' });
  }
  return problems;
}
