import { accessSync, constants } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { GantryError, isGantryError, messageOf } from "../system/errors.ts";
import type { exec as execType } from "../system/exec.ts";

export type Exec = typeof execType;

/** One call of a CNI plugin; the names are the specification's. */
export interface PluginCall {
  readonly command: "ADD" | "DEL";
  readonly type: string;
  readonly containerId: string;
  /** Empty on DEL when the netns is gone. */
  readonly netns: string;
  readonly ifname: string;
  readonly args: string;
  readonly config: Readonly<Record<string, unknown>>;
  /** Brings up `lo` as well. */
  readonly loopback: boolean;
}

/** What a plugin prints when it fails (SPEC.md, "Error"). */
const errorSchema = z.object({ code: z.number().optional(), msg: z.string(), details: z.string().optional() });

const INSTALL = "Install the CNI plugins (Debian: apt-get install containernetworking-plugins), or set CNI_PATH.";

/** Folders that are searched for plugins, in order. */
export function pluginFolders(env: Readonly<Record<string, string | undefined>> = process.env): string[] {
  const own = (env["CNI_PATH"] ?? "").split(":").filter((folder) => folder !== "");
  return [...own, "/opt/cni/bin", "/usr/lib/cni", "/usr/libexec/cni"];
}

/** The path of a plugin. @throws command-missing that says where it was searched */
export function findPlugin(type: string, folders: readonly string[] = pluginFolders()): string {
  const path = folders.map((folder) => join(folder, type)).find(isExecutable);
  if (path !== undefined) return path;
  throw new GantryError(
    "command-missing",
    `the CNI plugin '${type}' is not installed (searched ${folders.join(", ")})`,
    {
      hint: INSTALL,
      details: { type },
    },
  );
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/**
 * Runs a plugin and beside it brings up `lo` in the netns, which nobody else does for one that was made before the OCI
 * runtime came. One shell for both: starting a process from here blocks the daemon for about 4 ms, from sh for 0.5 ms.
 */
const WITH_LOOPBACK = `nsenter --net="$CNI_NETNS" ip link set lo up >&2 & lo=$!; "$1"; code=$?; wait $lo || [ $code -ne 0 ] || exit 99; exit $code`;
const LOOPBACK_FAILED = 99;

/** A plugin takes milliseconds; one that hangs (an IPAM that waits for a server) is given up. ms */
const PLUGIN_TIMEOUT_MS = 30_000;

/**
 * Runs a plugin. One that has begun is never cut short: killed half way it leaves leases that belong to nobody.
 * @returns its JSON output, undefined when it printed none. @throws network-failed, command-missing, timeout, cancelled
 */
export async function callPlugin(exec: Exec, call: PluginCall, signal: AbortSignal): Promise<unknown> {
  if (signal.aborted)
    throw new GantryError("cancelled", `${call.type} was cancelled before it started`, { kind: "system" });
  const folders = pluginFolders();
  const path = findPlugin(call.type, folders);
  const [command, args] = call.loopback ? ["sh", ["-c", WITH_LOOPBACK, "sh", path]] : [path, []];
  const env = {
    PATH: process.env["PATH"] ?? "/usr/sbin:/usr/bin:/sbin:/bin",
    CNI_COMMAND: call.command,
    CNI_CONTAINERID: call.containerId,
    CNI_NETNS: call.netns,
    CNI_IFNAME: call.ifname,
    CNI_ARGS: call.args,
    CNI_PATH: folders.join(":"),
  };
  const { stdout, stderr, exitCode } = await exec(command, args, {
    timeoutMs: PLUGIN_TIMEOUT_MS,
    env,
    input: JSON.stringify(call.config),
    okCodes: "any",
  }).catch((error: unknown) => {
    throw isGantryError(error, "command-failed") ? failed(call, messageOf(error), error) : error;
  });
  const output = parse(stdout);
  if (exitCode === 0) return output;
  if (call.loopback && exitCode === LOOPBACK_FAILED)
    throw failed(call, `cannot bring up lo: ${stderr.trim()}`, undefined);
  const said = errorSchema.safeParse(output);
  const text = said.success
    ? [said.data.msg, said.data.details].filter(Boolean).join(": ")
    : stderr.trim() || stdout.trim() || `exit code ${exitCode}`;
  throw failed(call, text, undefined);
}

function parse(text: string): unknown {
  if (text.trim() === "") return undefined;
  try {
    return JSON.parse(text);
  } catch {
    return undefined; // not JSON: the caller sees that what it needs is missing
  }
}

function failed(call: PluginCall, text: string, cause: unknown): GantryError {
  const name = typeof call.config["name"] === "string" ? call.config["name"] : "?";
  const exhausted = /no IP addresses available in range set: (\S+)/.exec(text)?.[1];
  if (exhausted !== undefined) {
    return new GantryError("network-failed", `network '${name}' has no free address left in ${exhausted}`, {
      cause,
      hint: "Remove pods, or enlarge the range: network.subnet in config.yaml (a wider prefix such as /16) once no pod is running, or the ranges in your conflist.",
      details: { network: name, range: exhausted },
    });
  }
  return new GantryError(
    "network-failed",
    `CNI plugin ${call.type} (${call.command}) of network '${name}' failed: ${text}`,
    {
      kind: "system",
      cause,
      hint: "See the plugin's message; 'gantry doctor' checks the network.",
      details: { plugin: call.type, command: call.command, network: name },
    },
  );
}
