import { describeDriver } from "../contract/driver-suite.ts";
import { memoryHarness } from "../contract/memory-harness.ts";

describeDriver("in memory", { inside: false, hostKernel: false }, memoryHarness);
