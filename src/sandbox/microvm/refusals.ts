import { GantryError } from "../../system/errors.ts";
import type { ContainerConfig, PreparedVolume, SandboxConfig } from "../driver.ts";
import { VM_LIMITS } from "../vm-limits.ts";

/**
 * What a micro-VM cannot give, since its kernel is not the host's. Each refusal says why and what to do. Manifests are
 * refused before, with their places; this is for who asks the driver itself.
 */

/** @throws GantryError unsupported */
export function refuseSandbox(config: SandboxConfig): void {
  for (const field of ["hostNetwork", "hostPID", "hostIPC"] as const)
    if (config[field]) throw refusal(`spec.${field}: true`, VM_LIMITS[field]);
}

/** @throws GantryError unsupported */
export function refuseContainer(config: ContainerConfig, volumes: readonly PreparedVolume[]): void {
  if (config.security.privileged) {
    throw refusal(`securityContext.privileged of container ${config.name}`, VM_LIMITS.privileged);
  }
  if (config.security.appArmorProfile !== undefined)
    throw refusal(`appArmorProfile of container ${config.name}`, VM_LIMITS.policyOfHost);
  if (config.security.seLinux !== undefined)
    throw refusal(`seLinuxOptions of container ${config.name}`, VM_LIMITS.policyOfHost);
  for (const mount of config.mounts) {
    if (mount.propagation === "Bidirectional") {
      throw refusal(`mountPropagation: Bidirectional at ${mount.mountPath}`, VM_LIMITS.bidirectional);
    }
    // Of the other volumes the host mounts nothing: there it changes nothing.
    const shared = volumes.some(({ name, kind }) => name === mount.volume && kind === "hostPath");
    if (mount.propagation === "HostToContainer" && shared) {
      throw refusal(`mountPropagation: HostToContainer at ${mount.mountPath}`, VM_LIMITS.hostToContainer);
    }
  }
}

export function refusal(what: string, why: string): GantryError {
  return new GantryError("unsupported", `${what} is not possible in a micro-VM: ${why}`, {
    hint: "Leave it out, or use runtimeClassName: namespace for this pod.",
  });
}
