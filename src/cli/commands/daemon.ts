import { resolve } from "node:path";
import type { PodObject } from "../../api/contract.ts";
import { isGantryError } from "../../system/errors.ts";
import type { Context } from "../context.ts";
import { EXIT } from "../exit.ts";
import { podTable, sortPods } from "../output/pod-table.ts";
import { settingsOf } from "../settings.ts";
import type { Call, CommandSpec } from "../spec.ts";

export const daemon: CommandSpec = {
  summary: "Run the controller in the foreground",
  description:
    "Watches folders of manifests and runs what they ask for, until Ctrl-C or SIGTERM. Stopping it, or killing it,\n" +
    "leaves the pods running; the next one takes them over.",
  options: [
    {
      flags: "--manifests <dir>",
      description: "a folder of manifests; may be repeated",
      complete: "file",
      repeatable: true,
    },
    { flags: "--stop-pods-on-exit", description: "stop every pod when the daemon is stopped (for trying things out)" },
    {
      flags: "--log-level <level>",
      description: "debug, info, warn or error",
      complete: ["debug", "info", "warn", "error"],
    },
    { flags: "--set <setting=value>", description: "a setting of the config file; may be repeated", repeatable: true },
    {
      flags: "-q, --quiet",
      description: "don't print a line for every change of a pod; the log goes to stderr anyway",
    },
  ],
  outputs: [],
  ownHost: true,
  examples: [
    { line: "gantry daemon", does: "with /etc/gantry/config.yaml and /etc/gantry/manifests" },
    { line: "gantry daemon --root .gantry --manifests ./manifests", does: "everything in the current directory" },
  ],
  run,
};

/** What `gantry status` would show, once everything is up. */
function readyTable({ out, now }: Context): (pods: readonly PodObject[]) => void {
  return (pods) => out.write(`\n${podTable(sortPods(pods), out, now())}\n`);
}

/**
 * A signal that came while modules were loaded is only told in the next poll phase of the event loop, and to nobody when
 * its listener has gone by then. The first turn may have its poll phase behind it already.
 */
async function signalsArrive(): Promise<void> {
  for (let turn = 0; turn < 2; turn++) await new Promise((resolve) => setImmediate(resolve));
}

async function run({ flags, context }: Call): Promise<number> {
  const manifests = flags.texts("manifests");
  const settings = settingsOf(flags);
  const { runDaemon } = await import("../../daemon.ts");
  await signalsArrive();
  context.releaseSignals();
  // Ctrl-C while the program was loading: nothing is begun yet.
  context.signal.throwIfAborted();
  const running = runDaemon({
    ...(context.root !== undefined && { root: context.root }),
    ...(manifests.length > 0 && { manifests: manifests.map((path) => resolve(path)) }),
    flags: settings,
    stopPodsOnExit: flags.on("stopPodsOnExit"),
    ...(!flags.on("quiet") && { onLine: (line: string) => context.out.line(line), onReady: readyTable(context) }),
  });
  return running.catch((error: unknown) => {
    // Stopped while it was starting: it has let go of everything, and there is nothing to complain of.
    if (isGantryError(error, "cancelled")) return EXIT.ok;
    throw error;
  });
}
