import type { LogRotator } from "../logs/index.ts";
import type { PodSupervisor } from "../pod/contract.ts";
import type { ObservedSandbox, SandboxDriver } from "../sandbox/driver.ts";
import type { Clock, TimerHandle } from "../system/clock.ts";

/** Logs are looked at this often; at 10 MiB a file that is 1 MiB/s before one grows to twice its size. */
const INTERVAL_MS = 10_000;

/** Rotates the logs of all running containers, now and then. @returns a function that ends it */
export function keepLogs(
  rotator: LogRotator,
  supervisor: PodSupervisor,
  driverFor: (runtimeClass: string) => SandboxDriver,
  observed: () => ReadonlyMap<string, readonly ObservedSandbox[]>,
  clock: Clock,
): () => void {
  let timer: TimerHandle | undefined;
  let ended = false;
  const look = async (): Promise<void> => {
    for (const { uid } of supervisor.list()) {
      for (const sandbox of observed().get(uid) ?? []) {
        const driver = driverFor(sandbox.runtimeClass);
        for (const { id, state, logPath } of sandbox.containers) {
          if (state !== "running") continue;
          await rotator.rotateIfNeeded({ path: logPath, reopen: () => driver.reopenLog(sandbox.id, id) });
        }
      }
    }
  };
  const tick = (): void => {
    timer = clock.setTimeout(() => {
      void look().finally(() => {
        if (!ended) tick();
      });
    }, INTERVAL_MS);
  };
  tick();
  return () => {
    ended = true;
    clock.clearTimeout(timer);
  };
}
