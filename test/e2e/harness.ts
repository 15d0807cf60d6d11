import { inject } from "vitest";
import { BOOT_CACHE } from "../support/boot-cache.ts";
import type {} from "./harness/fixture.ts";
import { TestHost } from "./harness/host.ts";
import type { RuntimeClass } from "./harness/runtime-class.ts";

/**
 * What end-to-end tests act through. One host a test:
 *
 *     await using host = testHost();
 *     await host.startDaemon();
 *     host.write("web.yaml", "…");
 *     await host.waitReady("web");
 *
 * Leaving the block removes the pods, ends the daemon and fails the test when anything is left over.
 */
export function testHost(
  options: {
    readonly withImages?: boolean;
    readonly runtimeClass?: RuntimeClass;
    readonly standby?: number;
    readonly daemonMain?: string;
  } = {},
): TestHost {
  const { withImages = true, runtimeClass, standby, daemonMain } = options;
  return new TestHost({
    ...(withImages ? { images: inject("images") } : {}),
    ...(runtimeClass === undefined ? {} : { runtimeClass }),
    ...(standby === undefined ? {} : { standby }),
    ...(daemonMain === undefined ? {} : { daemonMain }),
    vm: { boot: BOOT_CACHE, templates: inject("templates") },
  });
}

export { callApi } from "./harness/api.ts";
export {
  containerOf,
  isRunning,
  pidOf,
  pidsInCgroup,
  pidsOf,
  pidsWith,
  qemuOf,
  type Run,
  runOf,
} from "./harness/apps.ts";
export { eventually } from "./harness/eventually.ts";
export { TestHost } from "./harness/host.ts";
export { knock } from "./harness/knock.ts";
export { filesOfPods, leftoversOf } from "./harness/leftovers.ts";
export { configMapText, type Fields, FOREVER, freePort, podText, shell } from "./harness/pod-text.ts";
export { isReady, type PodView } from "./harness/pods.ts";
export { type CliResult, type DaemonProcess, runCli, startCli } from "./harness/process.ts";
export { RUNTIME_CLASSES, type RuntimeClass } from "./harness/runtime-class.ts";
