/** What a manifest asks for that a virtual machine of its own cannot give to a pod. Pure. */
import { APP_ARMOR_ANNOTATION, profileIn } from "./app-armor.ts";
import type { FieldPath } from "./issue.ts";
import type { Pod, PodSecurityContext, SecurityContext } from "./schema/index.ts";

export interface VmRefusal {
  readonly path: FieldPath;
  /** After the name of the field: "is not possible …" */
  readonly message: string;
}

const HOSTS = [
  ["hostNetwork", "network"],
  ["hostPID", "processes"],
  ["hostIPC", "shared memory and semaphores"],
] as const;

const DEVICES: Readonly<Record<string, string>> = {
  Socket: "nobody on the other side of a socket of the host's can be reached from its kernel",
  CharDevice: "its kernel does not know the host's devices",
  BlockDevice: "its kernel does not know the host's devices",
};

/** AppArmor and SELinux: fields of the pod or of a container. */
const POLICY_OF_HOST = "the policy is in the host's kernel, and its own is another one";

/** In the order of the fields. What only the host knows, such as what a hostPath without a type is, the driver refuses. */
export function vmRefusals({ metadata, spec }: Pod): VmRefusal[] {
  const refusals: VmRefusal[] = [];
  const refuse = (path: FieldPath, why: string): void => {
    refusals.push({ path, message: `is not possible in a micro-VM: ${why}` });
  };
  for (const [field, what] of HOSTS) {
    if (spec[field] === true)
      refuse(["spec", field], `a micro-VM has a kernel of its own and cannot share the host's ${what}`);
  }
  const refusePolicies = (context: SecurityContext | PodSecurityContext | undefined, base: FieldPath): void => {
    const { appArmorProfile, seLinuxOptions } = context ?? {};
    if (appArmorProfile !== undefined && appArmorProfile.type !== "Unconfined")
      refuse([...base, "appArmorProfile"], POLICY_OF_HOST);
    if (Object.values(seLinuxOptions ?? {}).some(Boolean)) refuse([...base, "seLinuxOptions"], POLICY_OF_HOST);
  };
  for (const [annotation, text] of Object.entries(metadata.annotations ?? {})) {
    if (annotation.startsWith(APP_ARMOR_ANNOTATION) && profileIn(text)?.type !== "Unconfined")
      refuse(["metadata", "annotations", annotation], POLICY_OF_HOST);
  }
  refusePolicies(spec.securityContext, ["spec", "securityContext"]);
  const ofHost = new Set<string>();
  for (const [at, { name, hostPath }] of (spec.volumes ?? []).entries()) {
    if (hostPath === undefined) continue;
    ofHost.add(name);
    const why = DEVICES[hostPath.type];
    if (why !== undefined) refuse(["spec", "volumes", at, "hostPath", "type"], why);
  }
  for (const list of ["initContainers", "containers"] as const) {
    for (const [at, { securityContext, volumeMounts = [] }] of (spec[list] ?? []).entries()) {
      const base = ["spec", list, at];
      refusePolicies(securityContext, [...base, "securityContext"]);
      if (securityContext?.privileged === true)
        refuse(
          [...base, "securityContext", "privileged"],
          "it means the host's devices, and a micro-VM has none of them",
        );
      for (const [mount, { name, mountPropagation }] of volumeMounts.entries()) {
        const path = [...base, "volumeMounts", mount, "mountPropagation"];
        if (mountPropagation === "Bidirectional") refuse(path, "mounts cannot leave a micro-VM");
        else if (mountPropagation === "HostToContainer" && ofHost.has(name))
          refuse(path, "what the host mounts there once the pod runs cannot come into it");
      }
    }
  }
  return refusals;
}
