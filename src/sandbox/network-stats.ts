import { readFileSync, statSync } from "node:fs";
import type { InterfaceStats, Traffic } from "./driver.ts";
import { isAbsent } from "./namespace/files.ts";

/**
 * What went through the interfaces of a network namespace. The kernel tells it to whoever looks through a process that
 * is in it; entering it would take a process of our own.
 * @param netns a file that it is pinned to
 * @param processes that may be in it
 * @param names of the interfaces that are the pod's own
 */
export function interfacesIn(netns: string, processes: readonly number[], names: RegExp): InterfaceStats[] {
  const wanted = inodeOf(netns);
  if (wanted === undefined) return [];
  for (const pid of processes) {
    if (inodeOf(`/proc/${pid}/ns/net`) !== wanted) continue;
    const text = readOrNothing(`/proc/${pid}/net/dev`);
    if (text !== undefined) return parseNetDev(text).filter(({ name }) => names.test(name));
  }
  return [];
}

/** Reads /proc/PID/net/dev (proc_pid_net(5)), but for the loopback interface. Pure. */
export function parseNetDev(text: string): InterfaceStats[] {
  return text.split("\n").flatMap((line) => {
    const [, name = "", rest = ""] = /^\s*([^\s:]+):(.*)$/.exec(line) ?? [];
    if (name === "" || name === "lo") return [];
    const numbers = rest.trim().split(/\s+/).map(Number);
    const traffic = (from: number): Traffic => {
      const [bytes = 0, packets = 0, errors = 0, dropped = 0] = numbers.slice(from, from + 4);
      return { bytes, packets, errors, dropped };
    };
    return [{ name, received: traffic(0), sent: traffic(8) }];
  });
}

function inodeOf(path: string): number | undefined {
  try {
    return statSync(path).ino;
  } catch (error) {
    if (isAbsent(error)) return undefined;
    throw error;
  }
}

/** A process may be gone by now. */
function readOrNothing(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if (isAbsent(error) || (error as NodeJS.ErrnoException).code === "EINVAL") return undefined;
    throw error;
  }
}
