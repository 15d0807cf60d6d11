/** What a pod has on the node's disk. */
import { join } from "node:path";
import { type DiskUnit, diskUsage } from "../../system/disk-usage.ts";
import type { PodView } from "../machine/env.ts";
import type { EphemeralUsage, Measured } from "../rules/ephemeral.ts";
import { allContainers } from "../rules/world.ts";
import { driverOf, logsOf, type PodScope } from "./scope.ts";

export async function ephemeralUsage(
  scope: PodScope,
  { desired, known }: Pick<PodView, "desired" | "known">,
  measured: Measured,
  unit: DiskUnit,
): Promise<EphemeralUsage> {
  const sandbox = known.find(({ state }) => state === "ready");
  const inside =
    sandbox === undefined
      ? { volumes: new Map<string, number>(), containers: new Map<string, number>() }
      : await driverOf(scope, desired).diskUsage(sandbox.id, unit);
  const volumes = await scope.ports.volumes.usage(scope.uid, measured.volumes, unit, inside.volumes);
  if (!measured.containers) return { volumes, containers: {} };
  const names = [...(desired.pod.spec.initContainers ?? []), ...desired.pod.spec.containers].map(({ name }) => name);
  const logs = logsOf(scope, desired);
  const logged = await diskUsage(
    names.map((name) => join(logs, name)),
    unit,
  );
  const containers = names.map((name): [string, number] => {
    const layers = allContainers(known).flatMap(({ container }) =>
      container.name === name ? (inside.containers.get(container.id) ?? 0) : [],
    );
    return [name, layers.reduce((total, used) => total + used, logged.get(join(logs, name)) ?? 0)];
  });
  return { volumes, containers: Object.fromEntries(containers) };
}
