/**
 * Regular expressions out of somebody's file. SOPS is written in Go, whose expressions take linear time; here one such
 * as (a+)+$ may take for ever, and the whole daemon with it.
 */
import { type Context, createContext, Script } from "node:vm";

/** ms for all the texts of one file; a good one takes less than 0.1 for each. */
const LONGEST_MS = 500;
/** Words and alternatives, perhaps in one pair of brackets: "^(data|stringData)$". These need no guard. */
const PLAIN = /^\^?(\([\w|]*\)|[\w|]*)\$?$/;

const script = new Script("new RegExp(source, flags).test(text)");
let context: Context | undefined;

/** @returns whether a text matches; it throws an Error for one that takes too long @throws SyntaxError */
export function patternOf(source: string, flags: string): (text: string) => boolean {
  const pattern = new RegExp(source, flags);
  if (PLAIN.test(source)) return (text) => pattern.test(text);
  const known = new Map<string, boolean>();
  let left = LONGEST_MS;
  return (text) => {
    const before = known.get(text);
    if (before !== undefined) return before;
    context ??= createContext(Object.create(null));
    Object.assign(context, { source, flags, text });
    const begun = performance.now();
    const found: unknown = script.runInContext(context, { timeout: Math.ceil(left) });
    left -= performance.now() - begun;
    if (left <= 0) throw new Error("it takes too long");
    known.set(text, found === true);
    return found === true;
  };
}
