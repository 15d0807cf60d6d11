/** `gantry daemon` with a clock that can be put on: only the clock is another one. */
import { rmSync } from "node:fs";
import { parseArgs } from "node:util";
import { z } from "zod";
import { runDaemon } from "../../../src/daemon.ts";
import { SkippingClock, serveClock } from "./clock.ts";

const { values } = parseArgs({
  allowPositionals: true,
  options: {
    root: { type: "string", default: "" },
    manifests: { type: "string", default: "" },
    set: { type: "string", multiple: true, default: [] },
  },
});
const Steps = z.array(z.object({ at: z.number(), ahead: z.number() }));
const clock = new SkippingClock(Steps.parse(JSON.parse(process.env["CLOCK_STEPS"] ?? "[]")));
const socketPath = process.env["CLOCK_SOCKET"] ?? "";
rmSync(socketPath, { force: true });
const server = serveClock(clock, socketPath);
process.exitCode = await runDaemon({
  root: values.root,
  manifests: [values.manifests],
  flags: Object.fromEntries(values.set.map((each) => each.split(/=(.*)/s, 2) as [string, string])),
  stopPodsOnExit: false,
  clock,
});
server.close();
