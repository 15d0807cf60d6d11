/** Reading what drivers report: which sandbox counts, which container is the current run of a name. */
import type { ObservedContainer, ObservedSandbox } from "../../sandbox/driver.ts";

export interface Placed {
  readonly sandboxId: string;
  readonly ready: boolean;
  readonly container: ObservedContainer;
}

/** The sandbox that containers run in: the newest one that is ready. */
export function currentSandbox(known: readonly ObservedSandbox[]): ObservedSandbox | undefined {
  return known
    .filter(({ state }) => state === "ready")
    .reduce<ObservedSandbox | undefined>((a, b) => (a === undefined || b.attempt > a.attempt ? b : a), undefined);
}

export function allContainers(known: readonly ObservedSandbox[]): Placed[] {
  return known.flatMap(({ id, state, containers }) =>
    containers.map((container) => ({ sandboxId: id, ready: state === "ready", container })),
  );
}

/** The container of that name and attempt, in whichever sandbox it is. */
export function findRun(known: readonly ObservedSandbox[], name: string, attempt: number): Placed | undefined {
  return allContainers(known).find(({ container }) => container.name === name && container.attempt === attempt);
}

/** May hold a process: to be stopped before anything is taken away. */
export function mayLive({ state }: ObservedContainer): boolean {
  return state === "running" || state === "created";
}

/** `known` with one container put in, or in place of the one with its id. */
export function withContainer(
  known: readonly ObservedSandbox[],
  sandboxId: string,
  container: ObservedContainer,
): ObservedSandbox[] {
  return known.map((sandbox) =>
    sandbox.id === sandboxId
      ? { ...sandbox, containers: [...sandbox.containers.filter(({ id }) => id !== container.id), container] }
      : sandbox,
  );
}

export function withoutContainers(known: readonly ObservedSandbox[], ids: ReadonlySet<string>): ObservedSandbox[] {
  return known.map((sandbox) => ({ ...sandbox, containers: sandbox.containers.filter(({ id }) => !ids.has(id)) }));
}
