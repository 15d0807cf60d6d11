import type { Conflist } from "./conflist.ts";
import { callPlugin, type Exec, type PluginCall } from "./plugin.ts";
import type { AttachmentRecord } from "./records.ts";

export const INTERFACE = "eth0";

/** Runs ADD of all plugins in order, each with the result of the one before. @returns the last one's result */
export async function addChain(exec: Exec, record: AttachmentRecord, signal: AbortSignal): Promise<unknown> {
  let result: unknown;
  for (const plugin of record.conflist.plugins) {
    result = await callPlugin(exec, callFor("ADD", record, record.netns, plugin, result), signal);
  }
  return result;
}

/** Runs DEL of all plugins in reverse, each with the final result of ADD where it is known. */
export async function delChain(
  exec: Exec,
  record: AttachmentRecord,
  netns: string,
  signal: AbortSignal,
): Promise<void> {
  for (const plugin of record.conflist.plugins.toReversed()) {
    await callPlugin(exec, callFor("DEL", record, netns, plugin, record.result), signal);
  }
}

function callFor(
  command: PluginCall["command"],
  record: AttachmentRecord,
  netns: string,
  plugin: Conflist["plugins"][number],
  prevResult: unknown,
): PluginCall {
  const { name, cniVersion } = record.conflist;
  return {
    command,
    type: plugin.type,
    containerId: record.sandboxId,
    netns,
    ifname: INTERFACE,
    // once per pod, beside the first plugin
    loopback: command === "ADD" && prevResult === undefined,
    args: `IgnoreUnknown=1;K8S_POD_NAMESPACE=${record.podNamespace};K8S_POD_NAME=${record.podName};K8S_POD_INFRA_CONTAINER_ID=${record.sandboxId}`,
    config: {
      ...plugin,
      name,
      cniVersion,
      ...runtimeConfig(plugin, record),
      ...(prevResult === undefined ? {} : { prevResult }),
    },
  };
}

/** What a plugin asked for with `capabilities` (CNI conventions): only port mappings can come from a pod. */
function runtimeConfig(plugin: Conflist["plugins"][number], record: AttachmentRecord): object {
  if (plugin.capabilities?.["portMappings"] !== true || record.portMappings.length === 0) return {};
  const portMappings = record.portMappings.map(({ hostIP, hostPort, containerPort, protocol }) => ({
    hostPort,
    containerPort,
    protocol: protocol.toLowerCase(),
    ...(hostIP === undefined ? {} : { hostIP }),
  }));
  return { runtimeConfig: { portMappings } };
}
