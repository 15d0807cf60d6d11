import type { ImageStore } from "../../image/contract.ts";
import type { PodNetwork } from "../../network/contract.ts";
import type { Clock } from "../../system/clock.ts";
import type { Logger } from "../../system/log.ts";
import type { Paths } from "../../system/paths.ts";
import type { CgroupHost } from "../cgroup/host.ts";
import type { Gate, KeyedLock } from "../namespace/locks.ts";
import type { Dirs } from "./dirs.ts";
import type { Machines } from "./machines.ts";
import type { Asked, VmPlan } from "./plan.ts";
import type { Records } from "./records.ts";
import type { SeccompCompiler } from "./seccomp.ts";
import type { Standby, StandbyRequest } from "./standby/build.ts";
import type { Standbys } from "./standby/pool.ts";
import type { Template, TemplateFacts } from "./template/templates.ts";
import type { VolumeSync } from "./volume-sync.ts";

/** What every part of the driver works with. Made once, by createMicrovmDriver. */
export interface Context {
  readonly paths: Paths;
  readonly dirs: Dirs;
  readonly images: ImageStore;
  readonly network: PodNetwork;
  readonly log: Logger;
  readonly clock: Clock;
  readonly records: Records;
  readonly machines: Machines;
  readonly volumes: VolumeSync;
  readonly cgroups: CgroupHost;
  readonly bootId: string;
  /** Path of QEMU. @throws GantryError host-unsupported: it is not installed, or this machine is of another kind */
  readonly qemu: () => string;
  /** What the VM of a pod is to be like. Kernel and initramfs are fetched and built at first need. */
  readonly plan: (asked: Asked, signal: AbortSignal) => Promise<VmPlan>;
  /** Undefined: there is none, and none can be built. */
  readonly template: (facts: TemplateFacts, signal: AbortSignal) => Promise<Template | undefined>;
  readonly discardTemplate: (template: Template) => Promise<void>;
  /** Path of an EROFS file with nothing in it. */
  readonly emptyImage: () => Promise<string>;
  /** VMs that wait for pods. */
  readonly standbys: Standbys<StandbyRequest, Standby>;
  readonly compileSeccomp: SeccompCompiler;
  /** How long a guest may take to answer after its start, in ms. */
  readonly bootTimeoutMs: number;
  /** Size of each VM's scratch disk. Templates are only good for one. */
  readonly scratchBytes: number;
  /** One operation at a time per sandbox; waiting for an app to stop is not one. */
  readonly lock: KeyedLock;
  /** Creation goes on beside creation, garbage collection alone. */
  readonly gate: Gate;
}
