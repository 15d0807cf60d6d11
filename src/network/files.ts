import { renameSync, rmSync, writeFileSync } from "node:fs";

let counter = 0;

/**
 * Readers see the old file or the whole new one. No fsync: what is written here need not outlive a power cut.
 * Synchronous on purpose: a few hundred bytes take 0.1 ms so, and 1 ms by way of the thread pool.
 */
export function writeAtomically(file: string, text: string): void {
  const temporary = `${file}.${process.pid}.${counter++}.tmp`;
  try {
    writeFileSync(temporary, text, { mode: 0o600 });
    renameSync(temporary, file);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  }
}
