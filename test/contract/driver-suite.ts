import { describe } from "vitest";
import { attaching } from "./driver-attach.ts";
import { crashSafety } from "./driver-crash.ts";
import { execution } from "./driver-exec.ts";
import { forwarding } from "./driver-forward.ts";
import { insideViews } from "./driver-inside.ts";
import { lifecycle } from "./driver-lifecycle.ts";
import { logging } from "./driver-logs.ts";
import { sharing } from "./driver-sharing.ts";
import { stopping } from "./driver-stopping.ts";
import { type Features, type Harness, useBench } from "./harness.ts";

export type { Features, Harness, Program } from "./harness.ts";

/** What every sandbox driver must do. What a driver that runs nothing cannot show is left out by `features`. */
export function describeDriver(name: string, features: Features, makeHarness: () => Promise<Harness>): void {
  describe(`sandbox driver: ${name}`, () => {
    const bench = useBench(features, makeHarness);
    describe("lifecycle", () => lifecycle(bench));
    describe("stopping", () => stopping(bench));
    describe("exec", () => execution(bench));
    describe("attach", () => attaching(bench));
    describe("forwarding ports", () => forwarding(bench));
    describe("crash safety", () => crashSafety(bench));
    if (!features.inside) return;
    describe("as seen from inside", () => insideViews(bench));
    describe("shared and host namespaces", () => sharing(bench));
    describe("logs", () => logging(bench));
  });
}
