/** The language of the support table: what Gantry does with each field of an object. */

/** What becomes of a field that is set. */
export type Verdict = "supported" | { readonly warning: string } | { readonly refused: string };

/** The verdict on a field whose meaning hangs on its value. */
type ByValue = (value: unknown) => Verdict;

type Element<T> = T extends readonly (infer E)[] ? E : T;

/** One rule for every field of T: the compiler tells which one was forgotten. */
export type Fields<T> = { readonly [K in keyof Required<T>]: Rule<Exclude<Required<T>[K], undefined>> };

export type Rule<T> =
  | Verdict
  | ByValue
  /** Each key of a map by itself. */
  | { readonly keys: (key: string) => Verdict }
  /** The fields of the object, or of each object in the list. */
  | (Element<T> extends object ? { readonly fields: Fields<Element<T>> } : never);

/** A rule once its type does not matter any more. */
export type AnyRule =
  | Verdict
  | ByValue
  | { readonly keys: (key: string) => Verdict }
  | { readonly fields: Readonly<Record<string, AnyRule>> };

/** Refused now; `what` in the plural, e.g. "probes". */
export const later = (what: string): Verdict => ({ refused: `${what} are not supported yet` });
/** Read and checked, but without effect on one host. */
export const noEffect = (why: string): Verdict => ({ warning: `has no effect: ${why}` });
export const oneNode = noEffect("there is only this node");
export const noApiServer = noEffect("pods here talk to no API server");

/** Supported with one of `values`; anything else is refused with `reason`. */
export function only(values: readonly unknown[], reason: string): ByValue {
  return (value) => (values.includes(value) ? "supported" : { refused: reason });
}
