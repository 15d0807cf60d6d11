/** Texts with more values than any manifest has, found before anything is made of them. Pure. */
import { CST, Lexer } from "yaml";
import { VALUES_LIMIT } from "./plain.ts";

/** The shortest way to write a value is "-" and the end of the line. */
const LEAST_CHARACTERS_OF_A_VALUE = 2;

/**
 * Where a YAML text comes to more than {@link VALUES_LIMIT} values: an offset in it. To build a tree of such a text takes
 * seconds and hundreds of MiB; to look at its tokens takes neither. What is counted is never more than there is.
 * @returns undefined for a text that has, as far as its tokens tell, no more
 */
export function excessIn(text: string): number | undefined {
  if (text.length <= VALUES_LIMIT * LEAST_CHARACTERS_OF_A_VALUE) return undefined;
  let [offset, dashes, commas, contents] = [0, 0, 0, 0];
  let isScalar = false;
  for (const token of new Lexer().lex(text)) {
    switch (isScalar ? undefined : CST.tokenType(token)) {
      case "doc-mode":
      case "flow-error-end":
        continue; // no part of the text
      case "scalar": // neither: the next token is its text
        contents += 1;
        isScalar = true;
        continue;
      case "single-quoted-scalar":
      case "double-quoted-scalar":
      case "alias":
      case "flow-map-start":
      case "flow-seq-start":
        contents += 1;
        break;
      case "map-value-ind":
        contents -= 1; // what stood before it was a key
        break;
      case "seq-item-ind":
        dashes += 1;
        break;
      case "comma":
        commas += 1;
        break;
      default:
    }
    // The last of the contents may be a key whose colon is still to come.
    if (Math.max(dashes, commas, contents - 1) > VALUES_LIMIT) return offset;
    isScalar = false;
    offset += token.length;
  }
  return undefined;
}
