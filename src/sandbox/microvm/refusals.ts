import { GantryError } from "../../system/errors.ts";
import type { ContainerConfig, PreparedVolume, SandboxConfig } from "../driver.ts";

/** What a micro-VM cannot give, since its kernel is not the host's. Each refusal says why and what to do. */

/** @throws GantryError unsupported */
export function refuseSandbox(config: SandboxConfig): void {
  const shared = [
    [config.hostNetwork, "hostNetwork", "network"],
    [config.hostPID, "hostPID", "processes"],
    [config.hostIPC, "hostIPC", "shared memory and semaphores"],
  ] as const;
  for (const [wanted, field, what] of shared) {
    if (wanted)
      throw refusal(`spec.${field}: true`, `a micro-VM has a kernel of its own and cannot share the host's ${what}`);
  }
}

const NO_HOST_POLICY = "the policy is in the host's kernel, and its own is another one";

/** @throws GantryError unsupported */
export function refuseContainer(config: ContainerConfig, volumes: readonly PreparedVolume[]): void {
  if (config.security.privileged) {
    throw refusal(
      `securityContext.privileged of container ${config.name}`,
      "it means the host's devices, and a micro-VM has none of them",
    );
  }
  if (config.security.appArmorProfile !== undefined)
    throw refusal(`appArmorProfile of container ${config.name}`, NO_HOST_POLICY);
  if (config.security.seLinux !== undefined)
    throw refusal(`seLinuxOptions of container ${config.name}`, NO_HOST_POLICY);
  for (const mount of config.mounts) {
    if (mount.propagation === "Bidirectional") {
      throw refusal(`mountPropagation: Bidirectional at ${mount.mountPath}`, "mounts cannot leave a micro-VM");
    }
    // Of the other volumes the host mounts nothing: there it changes nothing.
    const shared = volumes.some(({ name, kind }) => name === mount.volume && kind === "hostPath");
    if (mount.propagation === "HostToContainer" && shared) {
      throw refusal(
        `mountPropagation: HostToContainer at ${mount.mountPath}`,
        "what the host mounts there once the pod runs cannot come into it",
      );
    }
  }
}

export function refusal(what: string, why: string): GantryError {
  return new GantryError("unsupported", `${what} is not possible in a micro-VM: ${why}`, {
    hint: "Leave it out, or use runtimeClassName: namespace for this pod.",
  });
}
