import { writeFile } from "node:fs/promises";
import { errnoOf, GantryError, messageOf } from "../system/errors.ts";

/** Writes a file that was not there, for its owner alone. @throws GantryError `already-exists`, `usage` */
export async function writeNew(path: string, text: string): Promise<void> {
  try {
    await writeFile(path, text, { flag: "wx", mode: 0o600 });
  } catch (cause) {
    if (errnoOf(cause) === "EEXIST") {
      throw new GantryError("already-exists", `${path} is there already`, { cause, hint: "Give another name." });
    }
    throw new GantryError("usage", `can't write ${path}: ${messageOf(cause)}`, { cause, hint: "Check the path." });
  }
}
