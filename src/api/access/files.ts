import { randomBytes } from "node:crypto";
import { link, open, rename, rm } from "node:fs/promises";
import { errnoOf } from "../../system/errors.ts";

/** Only root may read it. */
const MODE = 0o600;

/**
 * Writes a file of mode 0600 that is whole or not there.
 * @returns false when there is one already and `replace` is not wanted
 */
export async function writeSecret(path: string, text: string, { replace }: { replace: boolean }): Promise<boolean> {
  const temporary = `${path}.${process.pid}-${randomBytes(4).toString("hex")}.tmp`;
  try {
    const file = await open(temporary, "wx", MODE);
    try {
      await file.writeFile(text);
      await file.sync();
    } finally {
      await file.close();
    }
    if (replace) await rename(temporary, path);
    else await link(temporary, path);
    return true;
  } catch (error) {
    if (!replace && errnoOf(error) === "EEXIST") return false;
    throw error;
  } finally {
    await rm(temporary, { force: true });
  }
}
