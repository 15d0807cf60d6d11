/**
 * What to make of a report that may have been taken before our own last deed took effect.
 *
 * A report from outside is believed when it only says that things went on: the same sandboxes and containers, none
 * of them younger in its life than we know it. Whatever else it says (something is missing, new, or back where it
 * was) may be old news, so it is only a reason to look ourselves.
 */
import type { ObservedContainer, ObservedSandbox } from "../../sandbox/driver.ts";

export function isProgress(known: readonly ObservedSandbox[], seen: readonly ObservedSandbox[]): boolean {
  return sameIds(
    known,
    seen,
    (before, now) => before.state === now.state && sameIds(before.containers, now.containers, wentOn),
  );
}

/** True when a report says nothing that is not known. */
export function isSame(known: readonly ObservedSandbox[], seen: readonly ObservedSandbox[]): boolean {
  return sameIds(
    known,
    seen,
    (before, now) =>
      before.state === now.state &&
      before.problem === now.problem &&
      sameIds(before.containers, now.containers, (a, b) => a.state === b.state),
  );
}

/**
 * Our own look, taken while some containers were being worked on: of those (by name) what we know is kept, because
 * the look may show them from before.
 */
export function mergeLook(
  known: readonly ObservedSandbox[],
  seen: readonly ObservedSandbox[],
  keep: (name: string) => boolean,
): ObservedSandbox[] {
  return seen.map((sandbox) => {
    const before = known.find(({ id }) => id === sandbox.id)?.containers ?? [];
    return {
      ...sandbox,
      containers: [...sandbox.containers.filter(({ name }) => !keep(name)), ...before.filter(({ name }) => keep(name))],
    };
  });
}

/** Names of containers that `seen` has as ended and `known` has not. */
export function newlyEnded(known: readonly ObservedSandbox[], seen: readonly ObservedSandbox[]): string[] {
  const ended = (sandboxes: readonly ObservedSandbox[]): ObservedContainer[] =>
    sandboxes.flatMap(({ containers }) => containers.filter(({ state }) => AGE[state] === 2));
  const before = new Set(ended(known).map(({ id }) => id));
  return ended(seen).flatMap(({ id, name }) => (before.has(id) ? [] : [name]));
}

const AGE: Readonly<Record<ObservedContainer["state"], number>> = { created: 0, running: 1, exited: 2, unknown: 2 };

function wentOn(before: ObservedContainer, now: ObservedContainer): boolean {
  // Once ended, it stays ended the same way: an exit code that was known is not given up for "unknown".
  return AGE[before.state] === 2 ? before.state === now.state : AGE[now.state] >= AGE[before.state];
}

function sameIds<T extends { readonly id: string }>(
  before: readonly T[],
  now: readonly T[],
  also: (before: T, now: T) => boolean,
): boolean {
  if (before.length !== now.length) return false;
  const byId = new Map(now.map((item) => [item.id, item]));
  return before.every((item) => {
    const other = byId.get(item.id);
    return other !== undefined && also(item, other);
  });
}
