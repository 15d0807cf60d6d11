import { describeDriver } from "../contract/driver-suite.ts";
import { namespaceHarness } from "../contract/namespace-harness.ts";

describeDriver("namespace on runc", { inside: true, hostKernel: true }, () => namespaceHarness("runc"));
