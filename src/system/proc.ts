import { readFileSync } from "node:fs";

/** A file of the kernel's as text; those are never large, and take no time. @throws the error of the system call */
export function readProc(path: string): string {
  return readFileSync(path, "utf8");
}
