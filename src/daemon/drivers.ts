import type { Config } from "../config/index.ts";
import type { ImageStore } from "../image/index.ts";
import type { PodNetwork } from "../network/contract.ts";
import type { SandboxDriver } from "../sandbox/driver.ts";
import { createMicrovmDriver } from "../sandbox/microvm/index.ts";
import { createNamespaceDriver } from "../sandbox/namespace/index.ts";
import type { Clock } from "../system/clock.ts";
import { GantryError } from "../system/errors.ts";
import type { Logger } from "../system/log.ts";
import type { Paths } from "../system/paths.ts";
import { microvmOptions } from "./microvm-options.ts";

export interface DriverParts {
  readonly paths: Paths;
  readonly images: ImageStore;
  readonly network: PodNetwork;
  readonly log: Logger;
  readonly clock: Clock;
  /** The same driver, with all that is asked of it counted. */
  readonly count: (driver: SandboxDriver) => SandboxDriver;
}

export interface Drivers {
  readonly all: readonly SandboxDriver[];
  /** @throws GantryError `unsupported`, naming the runtime classes that there are */
  of(runtimeClass: string): SandboxDriver;
}

/** A driver for each runtime class, as the configuration wants them. */
export function createDrivers(parts: DriverParts, config: Config): Drivers {
  const { oci } = config.runtime;
  const runtime = oci === "auto" ? {} : { runtime: oci };
  const all: readonly SandboxDriver[] = [
    createNamespaceDriver({ ...parts, firstHostId: config.userns.base, ...runtime }),
    createMicrovmDriver({ ...parts, ...microvmOptions(config) }),
  ].map(parts.count);
  return {
    all,
    of(runtimeClass) {
      const driver = all.find((one) => one.runtimeClass === runtimeClass);
      if (driver !== undefined) return driver;
      throw new GantryError("unsupported", `no driver for runtime class ${runtimeClass}`, {
        hint: `Use one of: ${all.map((one) => one.runtimeClass).join(", ")}.`,
      });
    },
  };
}
