import { createApiClient } from "../../../src/api/client.ts";
import { type Bench, FIRST_PORT, gone, ready } from "../context.ts";
import type { Figure } from "../figures.ts";
import { median, spread } from "../stats.ts";
import { webVm } from "./pods.ts";

const NAME = "vm-exec";

/** `true` in a micro-VM that runs: through the API, and through the command line. */
export async function benchVmExec({ host, watch, runs, say }: Bench): Promise<Figure[]> {
  const file = `${NAME}.yaml`;
  host.write(file, webVm(NAME, FIRST_PORT));
  await watch.when(NAME, ready, "Ready");
  const client = createApiClient({ socketPath: host.paths.socket });
  const [api, cli]: [number[], number[]] = [[], []];
  for (let round = 0; round <= 2 * runs; round++) {
    const begun = performance.now();
    const session = await client.exec("default", NAME, { command: ["true"], tty: false, stdin: false });
    session.stdout.resume();
    session.stderr?.resume();
    if ((await session.exitCode) !== 0) throw new Error("true has failed");
    if (round > 0) api.push(performance.now() - begun); // the first one loads code
  }
  for (let round = 0; round <= runs / 2; round++) {
    const begun = performance.now();
    const { code, stderr } = await host.gantry("exec", NAME, "--", "true");
    if (code !== 0) throw new Error(`gantry exec exited with ${code}: ${stderr}`);
    if (round > 0) cli.push(performance.now() - begun);
  }
  host.remove(file);
  await watch.when(NAME, gone, "gone");
  say("microvm exec");
  return [
    {
      id: "microvm.exec",
      what: "exec of true in a micro-VM, through the API",
      value: median(api),
      unit: "ms",
      limit: { at: "most", value: 60 },
      note: `${spread(api)}, fastest ${Math.round(Math.min(...api))}; gantry exec takes ${Math.round(median(cli))} ms`,
    },
  ];
}
