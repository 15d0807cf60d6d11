/** The language of the support table: what Gantry does with each field of an object. */

/** What becomes of a field that is set. */
export type Verdict = "supported" | { readonly warning: string } | { readonly refused: string };

/** Supported with one of `values`; what becomes of any other. Data, so that the page of all fields can show it. */
export interface ByValue {
  readonly values: readonly unknown[];
  readonly otherwise: Exclude<Verdict, "supported">;
}

/** Each key of a map by itself: the values of `keys` are supported. */
export interface ByKey {
  readonly keys: readonly string[];
  readonly otherwise: (key: string) => Exclude<Verdict, "supported">;
}

/** Each key of a map by itself: all but those that `except` fits are supported. */
export interface ByPattern {
  readonly except: RegExp;
  readonly named: string;
  readonly otherwise: Exclude<Verdict, "supported">;
}

type Element<T> = T extends readonly (infer E)[] ? E : T;

/** One rule for every field of T: the compiler tells which one was forgotten. */
export type Fields<T> = { readonly [K in keyof Required<T>]: Rule<Exclude<Required<T>[K], undefined>> };

export type Rule<T> =
  | Verdict
  | ByValue
  | ByKey
  | ByPattern
  /** The fields of the object, or of each object in the list. */
  | (Element<T> extends object ? { readonly fields: Fields<Element<T>> } : never);

/** A rule once its type does not matter any more. */
export type AnyRule = Verdict | ByValue | ByKey | ByPattern | { readonly fields: Readonly<Record<string, AnyRule>> };

/** Refused now; `what` in the plural, e.g. "probes". */
export const later = (what: string) => ({ refused: `${what} are not supported yet` });
/** Read and checked, but without effect on one host. */
export const noEffect = (why: string) => ({ warning: `has no effect: ${why}` });
export const oneNode = noEffect("there is only this node");
export const noApiServer = noEffect("pods here talk to no API server");

/** Supported with one of `values`; anything else is refused with `reason`. */
export function only(values: readonly unknown[], reason: string): ByValue {
  return { values, otherwise: { refused: reason } };
}
