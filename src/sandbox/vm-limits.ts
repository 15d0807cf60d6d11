/** Why a pod with a kernel of its own can't have some of what is the host's; after "is not possible in a micro-VM: ". */
const notShared = (what: string): string => `a micro-VM has a kernel of its own and cannot share the host's ${what}`;

export const VM_LIMITS = {
  hostNetwork: notShared("network"),
  hostPID: notShared("processes"),
  hostIPC: notShared("shared memory and semaphores"),
  privileged: "it means the host's devices, and a micro-VM has none of them",
  /** AppArmor and SELinux. */
  policyOfHost: "the policy is in the host's kernel, and its own is another one",
  bidirectional: "mounts cannot leave a micro-VM",
  hostToContainer: "what the host mounts there once the pod runs cannot come into it",
} as const;
