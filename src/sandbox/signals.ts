import { constants } from "node:os";
import { GantryError } from "../system/errors.ts";

/** Real-time signals, which node:os does not name. Their numbers are those of glibc on Linux. */
const SIGRTMIN = 34;
const SIGRTMAX = 64;

/**
 * The number of a signal given as "SIGTERM", "term", "15" or "SIGRTMIN+3", as image configs and manifests have it.
 * @throws GantryError `usage` for one that does not exist
 */
export function signalNumber(name: string): number {
  const number = findSignal(name);
  if (number !== undefined) return number;
  throw new GantryError("usage", `"${name}" is not a signal`, {
    hint: "Use a name such as SIGTERM or a number from 1 to 64.",
  });
}

export function isSignal(name: string): boolean {
  return findSignal(name) !== undefined;
}

function findSignal(name: string): number | undefined {
  if (/^[0-9]{1,2}$/.test(name)) {
    const number = Number(name);
    if (number >= 1 && number <= SIGRTMAX) return number;
  }
  const upper = name.toUpperCase();
  const full = upper.startsWith("SIG") ? upper : `SIG${upper}`;
  for (const [known, number] of Object.entries(constants.signals)) if (known === full) return number;
  const realTime = /^SIGRT(MIN|MAX)(?:([+-])([0-9]{1,2}))?$/.exec(full);
  if (realTime) {
    const base = realTime[1] === "MIN" ? SIGRTMIN : SIGRTMAX;
    const number = base + Number(`${realTime[2] ?? "+"}${realTime[3] ?? "0"}`);
    if (number >= SIGRTMIN && number <= SIGRTMAX) return number;
  }
  return undefined;
}
