import type { ContainerSecurity } from "../../driver.ts";
import { ociSeccomp, type SeccompFacts } from "./seccomp-profile.ts";
import { ALLOWED, TRACING, WITH_CAPABILITY } from "./seccomp-table.ts";
import type { OciSeccomp, OciSyscallRule } from "./types.ts";

const EPERM = 1;
const ENOSYS = 38;
const AF_VSOCK = 40;

/** CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID and NEWNET: what clone(2) may not do unprivileged. */
const CLONE_NAMESPACE_FLAGS = 0x7e020000;

/** Linux, Linux with UNAME26, SysV-ish 32 bit, both, and "only ask". */
const PERSONALITIES = [0x0, 0x0008, 0x20000, 0x20008, 0xffffffff];

/**
 * Architectures as libseccomp names them, the native one first, by Node's `process.arch`. x32 is left out: kernels
 * come with it turned off, and each one costs the runtime some ms.
 */
const ARCHITECTURES: Readonly<Record<string, readonly string[]>> = {
  x64: ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"],
  arm64: ["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"],
};

/** The filter of a container; undefined: it has none. Pure. */
export function seccompFor(
  { privileged, seccomp }: Pick<ContainerSecurity, "privileged" | "seccomp">,
  facts: SeccompFacts,
): OciSeccomp | undefined {
  if (privileged || seccomp.type === "Unconfined") return undefined;
  return seccomp.type === "Localhost"
    ? ociSeccomp(seccomp.profile, facts)
    : defaultSeccomp(facts.capabilities, facts.arch);
}

/**
 * The RuntimeDefault profile for a container with these capabilities ("CAP_…").
 *
 * What is not allowed fails with EPERM, but clone3 with ENOSYS: its flags are in memory where seccomp cannot see
 * them, and libcs fall back to clone then.
 * @param arch Node's `process.arch`; the profile covers its 32-bit companions too
 */
export function defaultSeccomp(capabilities: readonly string[], arch: string): OciSeccomp {
  const allowed = new Set([...Object.values(ALLOWED).flat(), ...TRACING]);
  for (const capability of capabilities) for (const name of WITH_CAPABILITY[capability] ?? []) allowed.add(name);
  const rules: OciSyscallRule[] = [
    { names: [...allowed].sort(), action: "SCMP_ACT_ALLOW" },
    // vsock reaches across every isolation, into the hypervisor
    { names: ["socket"], action: "SCMP_ACT_ALLOW", args: [{ index: 0, value: AF_VSOCK, op: "SCMP_CMP_NE" }] },
    ...PERSONALITIES.map(
      (value): OciSyscallRule => ({
        names: ["personality"],
        action: "SCMP_ACT_ALLOW",
        args: [{ index: 0, value, op: "SCMP_CMP_EQ" }],
      }),
    ),
  ];
  if (!allowed.has("clone")) {
    rules.push(
      {
        names: ["clone"],
        action: "SCMP_ACT_ALLOW",
        args: [{ index: 0, value: CLONE_NAMESPACE_FLAGS, valueTwo: 0, op: "SCMP_CMP_MASKED_EQ" }],
      },
      { names: ["clone3"], action: "SCMP_ACT_ERRNO", errnoRet: ENOSYS },
    );
  }
  return {
    defaultAction: "SCMP_ACT_ERRNO",
    defaultErrnoRet: EPERM,
    architectures: ARCHITECTURES[arch] ?? [],
    syscalls: rules,
  };
}
