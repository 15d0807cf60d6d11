import { GantryError, messageOf } from "../../system/errors.ts";
import { exec } from "../../system/exec.ts";
import type { ContainerConfig, SandboxConfig } from "../driver.ts";
import type { ContainerFiles, SandboxFiles } from "./dirs.ts";

/**
 * Gives the files that the pod has to itself the label that its containers may use, as the kubelet has them relabelled
 * (seLinuxChangePolicy: Recursive). What is the host's keeps its labels; images are read-only and keep theirs.
 * @throws GantryError volume-failed
 */
export async function labelFiles(
  sandbox: SandboxConfig,
  container: ContainerConfig,
  files: { readonly pod: SandboxFiles; readonly container: ContainerFiles },
  signal: AbortSignal,
): Promise<void> {
  const label = container.security.seLinux?.files;
  if (label === undefined) return;
  const mounted = new Set(container.mounts.map(({ volume }) => volume));
  const own = sandbox.volumes.filter(({ name, kind }) => mounted.has(name) && kind !== "hostPath" && kind !== "image");
  const { pod, container: one } = files;
  const paths = [
    pod.hosts,
    pod.resolvConf,
    pod.hostname,
    ...(sandbox.hostIPC ? [] : [pod.shm]),
    one.terminationMessage,
  ];
  try {
    await exec("chcon", ["--recursive", "--", label, ...paths, ...own.map(({ hostPath }) => hostPath)], { signal });
  } catch (cause) {
    if (signal.aborted) throw cause;
    throw new GantryError("volume-failed", `files can't be given the SELinux label ${label}: ${messageOf(cause)}`, {
      hint: "Check seLinuxOptions: the host's policy must know the user, role, type and level.",
      cause,
    });
  }
}
