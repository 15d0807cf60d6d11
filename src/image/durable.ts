import { open, rename, rm } from "node:fs/promises";
import { dirname } from "node:path";

/** Makes a file's content, or a directory's entries, survive a power cut. */
export async function syncPath(path: string): Promise<void> {
  const handle = await open(path, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Replaces `file` by `content` so that a reader, or a crash, sees the old or the new one and nothing between. */
export async function writeDurably(file: string, content: string | Uint8Array, temporary: string): Promise<void> {
  const handle = await open(temporary, "w", 0o644);
  try {
    await handle.writeFile(content);
    await handle.sync();
    await rename(temporary, file);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  } finally {
    await handle.close();
  }
  await syncPath(dirname(file));
}
