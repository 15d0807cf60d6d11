import type { ObservedSandbox, SandboxDriver } from "../sandbox/driver.ts";

/** Kubernetes' default grace: the manifest that might say otherwise is lost. */
const DEFAULT_GRACE_MS = 30_000;

/**
 * Stops and removes a pod of which only sandboxes are left: neither a manifest nor the state store knows it.
 * Its apps still get a polite end.
 */
export async function removeUnmanaged(
  sandboxes: readonly ObservedSandbox[],
  drivers: readonly SandboxDriver[],
  signal: AbortSignal,
): Promise<void> {
  for (const sandbox of sandboxes) {
    const driver = drivers.find(({ runtimeClass }) => runtimeClass === sandbox.runtimeClass);
    if (driver === undefined) continue;
    const running = sandbox.containers.filter(({ state }) => state === "running");
    await Promise.all(
      running.map(({ id }) => driver.stopContainer(sandbox.id, id, { graceMs: DEFAULT_GRACE_MS }, signal)),
    );
    await driver.removeSandbox(sandbox.id, signal);
  }
}
