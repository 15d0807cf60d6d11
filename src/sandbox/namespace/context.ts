import type { ImageStore } from "../../image/contract.ts";
import type { PodNetwork } from "../../network/contract.ts";
import type { Clock } from "../../system/clock.ts";
import type { Logger } from "../../system/log.ts";
import type { CgroupHost } from "../cgroup/host.ts";
import type { Dirs } from "./dirs.ts";
import type { Folders } from "./folders.ts";
import type { HostFacts } from "./host.ts";
import type { Gate, KeyedLock } from "./locks.ts";
import type { ProcessId } from "./proc.ts";
import type { Records } from "./records.ts";
import type { RuntimeChooser } from "./runtime.ts";
import type { SeccompCache } from "./seccomp-cache.ts";

/** What every part of the driver works with. Made once, by createNamespaceDriver. */
export interface Context {
  readonly dirs: Dirs;
  readonly images: ImageStore;
  readonly network: PodNetwork;
  readonly log: Logger;
  readonly clock: Clock;
  readonly records: Records;
  readonly folders: Folders;
  readonly runtimes: RuntimeChooser;
  readonly seccomp: SeccompCache;
  readonly cgroups: CgroupHost;
  readonly host: HostFacts;
  readonly bootId: string;
  /** One operation at a time per sandbox; waiting for an app to stop is not one. */
  readonly lock: KeyedLock;
  /** Creation goes on beside creation, garbage collection alone. */
  readonly gate: Gate;
  /** Which sandbox a container belongs to, as far as this process has seen. For hints only. */
  readonly owners: Map<string, string>;
  /** The monitors of containers that were seen alive, by the directory of the container. */
  readonly monitors: Map<string, ProcessId>;
  /** The first of the host ids that user namespaces are made of. */
  readonly firstHostId: number;
  /** Logs a message that is the same for every pod no more than once. */
  readonly warnOnce: (message: string) => void;
}
