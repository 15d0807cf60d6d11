import type { ImageStore } from "../image/index.ts";
import type { PodNetwork } from "../network/contract.ts";
import type { SandboxDriver } from "../sandbox/driver.ts";
import type { ServiceKeeper } from "../service/index.ts";

/** Lets go of the host. Where no pod is left, what was set up for pods goes, too. */
export async function leaveHost(
  drivers: readonly SandboxDriver[],
  images: ImageStore,
  network: PodNetwork,
  services: ServiceKeeper,
): Promise<void> {
  const left = (await Promise.all(drivers.map((driver) => driver.list()))).flat();
  if (left.length === 0) {
    await images.settled();
    await images.unmountUnused(new Set());
    const { signal } = new AbortController();
    await services.remove(signal);
    await network.teardown(signal);
  }
  await Promise.all(drivers.map((driver) => driver.close()));
}
