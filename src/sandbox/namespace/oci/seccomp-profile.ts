import type { SeccompCondition, SeccompProfile } from "../../../confine/seccomp-profile.ts";
import type { OciSeccomp, OciSyscallRule } from "./types.ts";

/** What the conditions in a profile are about. */
export interface SeccompFacts {
  /** "CAP_…": what the container may have. */
  readonly capabilities: readonly string[];
  /** Node's `process.arch`. */
  readonly arch: string;
  /** Of the kernel that the app runs on, as `uname -r` has it. */
  readonly kernel: string;
}

/** As profiles name it in conditions (Go's way), and libseccomp in lists. */
const NAMES: Readonly<Record<string, { readonly condition: string; readonly library: string }>> = {
  x64: { condition: "amd64", library: "SCMP_ARCH_X86_64" },
  arm64: { condition: "arm64", library: "SCMP_ARCH_AARCH64" },
};

/** A profile in Docker's form, its conditions decided for one container, as OCI runtimes take it. Pure. */
export function ociSeccomp(profile: SeccompProfile, facts: SeccompFacts): OciSeccomp {
  const rules = (profile.syscalls ?? []).filter(
    ({ includes = {}, excludes = {} }) => holds(includes, facts) && !touches(excludes, facts),
  );
  return {
    defaultAction: profile.defaultAction,
    ...(profile.defaultErrnoRet === undefined ? {} : { defaultErrnoRet: profile.defaultErrnoRet }),
    architectures: profile.architectures ?? architecturesIn(profile, facts),
    ...(profile.flags === undefined ? {} : { flags: profile.flags }),
    syscalls: rules.map(
      ({ name, names = [], action, errnoRet, args = [] }): OciSyscallRule => ({
        names: name ? [name] : names,
        action,
        ...(errnoRet === undefined ? {} : { errnoRet }),
        ...(args.length === 0
          ? {}
          : {
              args: args.map(({ index, value, valueTwo, op }) => ({
                ...{ index, value, op },
                ...(valueTwo === undefined ? {} : { valueTwo }),
              })),
            }),
      }),
    ),
  };
}

/** None: libseccomp takes the native one. */
function architecturesIn({ archMap = [] }: SeccompProfile, { arch }: SeccompFacts): string[] {
  const own = archMap.find(({ architecture }) => architecture === NAMES[arch]?.library);
  return own === undefined ? [] : [own.architecture, ...(own.subArchitectures ?? [])];
}

/** All of it is so. */
function holds({ arches = [], caps = [], minKernel = "" }: SeccompCondition, facts: SeccompFacts): boolean {
  return (
    (arches.length === 0 || arches.includes(NAMES[facts.arch]?.condition ?? facts.arch)) &&
    caps.every((name) => facts.capabilities.includes(name)) &&
    (minKernel === "" || isAtLeast(facts.kernel, minKernel))
  );
}

/** Any of it is so. */
function touches({ arches = [], caps = [], minKernel = "" }: SeccompCondition, facts: SeccompFacts): boolean {
  return (
    arches.includes(NAMES[facts.arch]?.condition ?? facts.arch) ||
    caps.some((name) => facts.capabilities.includes(name)) ||
    (minKernel !== "" && isAtLeast(facts.kernel, minKernel))
  );
}

/** Major and minor number, as Docker compares them. */
function isAtLeast(kernel: string, wanted: string): boolean {
  const [major = 0, minor = 0] = kernel.split(/[.-]/).map(Number);
  const [leastMajor = 0, leastMinor = 0] = wanted.split(/[.-]/).map(Number);
  return major > leastMajor || (major === leastMajor && minor >= leastMinor);
}
