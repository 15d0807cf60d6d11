import type { DaemonInfo } from "../../api/contract.ts";
import { isGantryError } from "../../system/errors.ts";
import { VERSION } from "../../system/version.ts";
import { formatSpan } from "../output/age.ts";
import type { Call, CommandSpec } from "../spec.ts";

export const version: CommandSpec = {
  summary: "Print the versions of gantry and of the daemon",
  options: [{ flags: "--client", description: "only this command's own version; asks no daemon" }],
  outputs: ["json", "yaml"],
  examples: [{ line: "gantry version -o json", does: "for scripts" }],
  run,
};

async function run({ flags, context }: Call): Promise<undefined> {
  const { out } = context;
  const client = {
    version: VERSION,
    node: process.version,
    platform: `${process.platform}/${process.arch}`,
  };
  const daemon = flags.on("client") ? undefined : await daemonInfo(context);
  if (out.format === "json" || out.format === "yaml") {
    await out.structured({ client, ...(flags.on("client") ? {} : { daemon: daemon ?? null }) });
    return undefined;
  }
  out.line(`Client: ${client.version} (Node.js ${client.node}, ${client.platform})`);
  if (flags.on("client")) return undefined;
  if (daemon === undefined) {
    out.line("Daemon: not running");
    return undefined;
  }
  const age = formatSpan(context.now() - daemon.startedAt);
  out.line(`Daemon: ${daemon.version} (pid ${daemon.pid}, up ${age}, root ${daemon.root}, ${daemon.ociRuntime})`);
  if (daemon.version !== client.version) {
    out.note(
      "The daemon is of another version than this command: restart it to bring them together; no pod is disturbed.",
    );
  }
  return undefined;
}

/** Undefined when none runs: that is an answer, not an error. */
async function daemonInfo(context: Call["context"]): Promise<DaemonInfo | undefined> {
  try {
    return await (await context.client()).daemonInfo();
  } catch (error) {
    if (isGantryError(error, "daemon-unreachable") && context.remote === undefined) return undefined;
    throw error;
  }
}
