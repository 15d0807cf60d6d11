import type { PortMapping } from "../sandbox/driver.ts";
import type { OwnNetwork } from "./own-conflist.ts";

/** The network of a pod: what every driver that needs one calls. */
export interface PodNetwork {
  /** Readies the host: conflist, forwarding, masquerade. Safe to repeat. @throws network-failed, command-missing */
  start(signal: AbortSignal): Promise<void>;
  /** The network that Gantry made itself; undefined before `start`, and with a conflist of the user's. */
  own(): OwnNetwork | undefined;
  /** Gives `netns` an interface. Attaching again gives back the same result. @throws network-failed, port-in-use */
  attach(request: AttachRequest, signal: AbortSignal): Promise<NetworkResult>;
  /** Takes it away again, also when attach was cut short or the netns is gone. An unknown id is fine. */
  detach(sandboxId: string, signal: AbortSignal): Promise<void>;
  /** False when the host's end of its interface is gone. Cheap: looks at /sys only. */
  isIntact(sandboxId: string): boolean;
  /** Puts right what somebody changed behind our back: bridge, its ports, nft table. @returns what, one line each */
  mend(signal: AbortSignal): Promise<string[]>;
  /** Removes leases, veths and port rules of sandboxes not in `known`; says what. */
  collectGarbage(known: ReadonlySet<string>, signal: AbortSignal): Promise<string[]>;
  /** Removes what `start` set up for the node (bridge, nft table), when no pod is left. */
  teardown(signal: AbortSignal): Promise<void>;
}

export interface AttachRequest {
  readonly sandboxId: string;
  readonly podNamespace: string;
  readonly podName: string;
  /** Path of the pinned network namespace. */
  readonly netns: string;
  readonly portMappings: readonly PortMapping[];
}

export interface NetworkResult {
  readonly ips: readonly string[];
  readonly gateway: string | undefined;
  readonly mac: string | undefined;
  readonly interfaceName: string;
}
