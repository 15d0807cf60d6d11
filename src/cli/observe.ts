import type { KnownPod } from "../diff.ts";
import type { PodNetwork } from "../network/contract.ts";
import { SANDBOX_HASH_LABEL } from "../pod/labels.ts";
import type { ObservedSandbox } from "../sandbox/driver.ts";
import { GantryError, messageOf } from "../system/errors.ts";
import type { Paths } from "../system/paths.ts";

export interface HostObservation {
  readonly sandboxes: readonly ObservedSandbox[];
  /** What could not be looked at. */
  readonly unseen: readonly string[];
}

/** What runs on this host, as the drivers report it; needs no daemon, and changes nothing. */
export async function observeHost(paths: Paths): Promise<HostObservation> {
  if (process.getuid?.() !== 0) {
    return { sandboxes: [], unseen: ["only root can see what runs on this host, so everything looks new"] };
  }
  const [{ createNamespaceDriver }, { createImageStore }, { silentLogger }, { systemClock }] = await Promise.all([
    import("../sandbox/namespace/index.ts"),
    import("../image/index.ts"),
    import("../system/log.ts"),
    import("../system/clock.ts"),
  ]);
  const log = silentLogger();
  const images = createImageStore({ paths, log, clock: systemClock });
  const driver = createNamespaceDriver({ paths, images, network: UNTOUCHED, log, clock: systemClock });
  try {
    return { sandboxes: await driver.list(), unseen: [] };
  } catch (error) {
    return { sandboxes: [], unseen: [`what runs can't be told: ${messageOf(error)}`] };
  }
}

/** The pods that sandboxes belong to. Pure. */
export function podsOf(sandboxes: readonly ObservedSandbox[]): KnownPod[] {
  return [...Map.groupBy(sandboxes, ({ pod }) => pod.uid)].flatMap(([uid, group]): KnownPod[] => {
    const newest = group.toSorted((a, b) => b.attempt - a.attempt)[0];
    if (newest === undefined) return [];
    const key = `${newest.pod.namespace}/${newest.pod.name}`;
    return [{ uid, key, managed: undefined, deleting: false, sandboxHash: newest.labels[SANDBOX_HASH_LABEL] }];
  });
}

/** Looking at sandboxes needs no network; should that ever change, it fails here instead of changing the host. */
const refuse = (): never => {
  throw new GantryError("internal", "the network was about to be touched while only looking", { kind: "system" });
};
const UNTOUCHED: PodNetwork = {
  start: refuse,
  own: () => undefined,
  attach: refuse,
  detach: refuse,
  // Whether the network is whole is for the daemon to judge.
  isIntact: () => true,
  mend: refuse,
  collectGarbage: refuse,
  teardown: refuse,
};
