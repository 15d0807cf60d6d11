import { toGantryError } from "../../system/errors.ts";
import { statusOfError } from "../status-error.ts";

/** One JSON object a line; what goes wrong on the way is the last line: { type: "ERROR", object: <v1 Status> }. */
export async function* jsonLines(source: AsyncIterable<object>): AsyncGenerator<Buffer, void, undefined> {
  try {
    for await (const each of source) yield lineOf(each);
  } catch (error) {
    yield lineOf({ type: "ERROR", object: statusOfError(toGantryError(error)) });
  }
}

function lineOf(value: object): Buffer {
  return Buffer.from(`${JSON.stringify(value)}\n`);
}
