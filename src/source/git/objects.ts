/** Objects out of a repository, as Git prints them. Pure. */
import { GantryError } from "../../system/errors.ts";

export interface GitObject {
  readonly oid: string;
  readonly type: string;
  readonly bytes: Buffer;
}

/** @param text the output of `git cat-file --batch`, one character a byte @throws GantryError source-failed */
export function parseBatch(text: string): GitObject[] {
  const objects: GitObject[] = [];
  for (let at = 0; at < text.length; ) {
    const end = text.indexOf("\n", at);
    const line = text.slice(at, end);
    const match = /^([0-9a-f]+) (\w+) (\d+)$/.exec(line);
    if (end < 0 || match === null) {
      const what = line.slice(0, 100).replace(/ missing$/, "");
      throw new GantryError("source-failed", `the repository is not whole: object ${what} is missing`, {
        kind: "system",
        hint: "Fetch the revision again: git fetch --refetch",
      });
    }
    const [, oid = "", type = "", size = "0"] = match;
    const from = end + 1;
    objects.push({ oid, type, bytes: Buffer.from(text.slice(from, from + Number(size)), "latin1") });
    at = from + Number(size) + 1;
  }
  return objects;
}
