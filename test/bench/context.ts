import type { TestHost } from "../e2e/harness/host.ts";
import { isReady } from "../e2e/harness/pods.ts";
import type { PodAt, PodWatch } from "./watch.ts";

/** What every part of the bench works with. */
export interface Bench {
  readonly host: TestHost;
  readonly watch: PodWatch;
  /** How often each thing is measured. */
  readonly runs: number;
  readonly say: (line: string) => void;
}

export const ready = (pod: PodAt): boolean => pod !== undefined && isReady(pod);
export const gone = (pod: PodAt): boolean => pod === undefined;

/** The first port of the host that the bench uses; it takes up to 101 from there. */
export const FIRST_PORT = 28_100;
