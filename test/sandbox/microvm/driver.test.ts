import { describeDriver } from "../../contract/driver-suite.ts";
import { microvmHarness } from "../../contract/microvm-harness.ts";

describeDriver("microvm", { inside: true, hostKernel: false }, microvmHarness);
