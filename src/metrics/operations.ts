/** What is asked of the drivers, how long it takes and how often it fails: the kubelet's runtime operations. */
import type { SandboxDriver } from "../sandbox/driver.ts";
import { isGantryError } from "../system/errors.ts";
import { type Family, Histogram } from "./exposition.ts";
import { counter } from "./families.ts";

/** The kubelet's, of kubelet_runtime_operations_duration_seconds: exponential from 5 ms. s */
const BUCKETS = Array.from({ length: 14 }, (_, n) => Number((0.005 * 2.5 ** n).toPrecision(6)));

export interface Operations {
  /** The same driver, with every call counted. */
  counted(driver: SandboxDriver): SandboxDriver;
  families(): Family[];
}

/** @param now ms of a clock that only goes on */
export function createOperations(now: () => number): Operations {
  const durations = new Map<string, Histogram>();
  const failures = new Map<string, number>();
  const timed = async <T>(operation: string, work: () => Promise<T>): Promise<T> => {
    const began = now();
    try {
      return await work();
    } catch (error) {
      // Who gives up has not seen it fail.
      if (!isGantryError(error, "cancelled")) failures.set(operation, (failures.get(operation) ?? 0) + 1);
      throw error;
    } finally {
      const histogram = durations.get(operation) ?? new Histogram(BUCKETS);
      durations.set(operation, histogram);
      histogram.observe((now() - began) / 1000);
    }
  };
  const labels = (operation_type: string) => ({ operation_type });
  return {
    counted: (driver) => countedDriver(driver, timed),
    families: () => [
      counter(
        "kubelet_runtime_operations_total",
        "Cumulative number of runtime operations by operation type.",
        [...durations].map(([operation, { count }]) => ({ labels: labels(operation), value: count })),
      ),
      counter(
        "kubelet_runtime_operations_errors_total",
        "Cumulative number of runtime operation errors by operation type.",
        [...failures].map(([operation, value]) => ({ labels: labels(operation), value })),
      ),
      {
        name: "kubelet_runtime_operations_duration_seconds",
        type: "histogram",
        help: "Duration in seconds of runtime operations. Broken down by operation type.",
        samples: [...durations].flatMap(([operation, histogram]) => histogram.samples(labels(operation))),
      },
    ],
  };
}

type Timed = <T>(operation: string, work: () => Promise<T>) => Promise<T>;

/** Under CRI's names. */
function countedDriver(driver: SandboxDriver, timed: Timed): SandboxDriver {
  return {
    ...driver,
    runSandbox: (...args) => timed("run_podsandbox", () => driver.runSandbox(...args)),
    stopSandbox: (...args) => timed("stop_podsandbox", () => driver.stopSandbox(...args)),
    removeSandbox: (...args) => timed("remove_podsandbox", () => driver.removeSandbox(...args)),
    createContainer: (...args) => timed("create_container", () => driver.createContainer(...args)),
    startContainer: (...args) => timed("start_container", () => driver.startContainer(...args)),
    stopContainer: (...args) => timed("stop_container", () => driver.stopContainer(...args)),
    removeContainer: (...args) => timed("remove_container", () => driver.removeContainer(...args)),
    exec: (...args) => timed("exec", () => driver.exec(...args)),
    attach: (...args) => timed("attach", () => driver.attach(...args)),
    forwardPort: (...args) => timed("port_forward", () => driver.forwardPort(...args)),
    reopenLog: (...args) => timed("reopen_container_log", () => driver.reopenLog(...args)),
    stats: (...args) => timed("container_stats", () => driver.stats(...args)),
    podStats: (...args) => timed("podsandbox_stats", () => driver.podStats(...args)),
    list: (...args) => timed("list_podsandbox", () => driver.list(...args)),
  };
}
