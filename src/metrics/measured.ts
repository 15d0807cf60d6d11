/** What running pods and their containers use, together with who they are. */
import type { PodState } from "../pod/contract.ts";
import type { ContainerStats, InterfaceStats } from "../sandbox/driver.ts";
import { type MeterParts, runningIn, statsOfAll } from "./meter.ts";

export interface MeasuredContainer {
  readonly id: string;
  readonly name: string;
  readonly image: string;
  /** ms since the epoch */
  readonly startedAt: number;
  readonly stats: ContainerStats;
}

export interface MeasuredPod {
  readonly state: PodState;
  readonly namespace: string;
  readonly name: string;
  readonly sandboxId: string;
  /** What it takes of the host: of a micro-VM all of it, QEMU's own part too. */
  readonly whole: ContainerStats | undefined;
  readonly interfaces: readonly InterfaceStats[];
  readonly containers: readonly MeasuredContainer[];
}

/** Those with a container that runs. One that has just ended, or whose virtual machine does not answer, is left out. */
export async function measurePods(parts: Pick<MeterParts, "pods" | "driverFor">): Promise<MeasuredPod[]> {
  const stats = await statsOfAll(parts);
  const pods = await Promise.all(
    parts.pods().map(async (state): Promise<MeasuredPod[]> => {
      const { sandbox, desired, containers } = state;
      const measured = runningIn(containers).flatMap(({ id, name, startedAt }): MeasuredContainer[] => {
        const found = stats.get(id);
        const image = containers.find((one) => one.name === name)?.image ?? "";
        return found === undefined ? [] : [{ id, name, image, startedAt, stats: found }];
      });
      if (sandbox === undefined || measured.length === 0) return [];
      const driver = parts.driverFor(desired.runtimeClass);
      const [whole, interfaces] = await Promise.all([
        driver.podStats(sandbox.id).catch(() => undefined),
        driver.networkStats(sandbox.id).catch(() => []),
      ]);
      const { namespace, name } = desired.pod.metadata;
      return [{ state, namespace, name, sandboxId: sandbox.id, whole, interfaces, containers: measured }];
    }),
  );
  return pods.flat();
}
