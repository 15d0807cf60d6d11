import { appArmorHost, type ConfinementWish, type Confiner, createConfiner } from "../confine/index.ts";
import type { Container, Pod, Problem } from "../manifest/index.ts";
import { confinementWish } from "../pod/rules/security.ts";
import { isGantryError } from "../system/errors.ts";

type Finding = Pick<Problem, "field" | "message" | "hint">;

const FIELDS = { seccomp: "seccompProfile", appArmor: "appArmorProfile", seLinux: "seLinuxOptions" } as const;
type Part = keyof typeof FIELDS;

/** A look at the host that changes nothing: no profile is loaded. */
export function lookingConfiner(seccompProfiles: string): Confiner {
  return createConfiner({ seccompProfiles, appArmor: { ...appArmorHost, load: async () => {} } });
}

/** Seccomp profiles, AppArmor and SELinux that a pod asks for and this host does not have. */
export async function missingConfinement(pod: Pod, confiner: Confiner, signal: AbortSignal): Promise<Finding[]> {
  const findings = new Map<string, Finding>();
  for (const list of ["initContainers", "containers"] as const) {
    for (const [at, container] of (pod.spec[list] ?? []).entries()) {
      const wish = confinementWish(pod, container);
      for (const part of ["seccomp", "appArmor", "seLinux"] as const) {
        // What a micro-VM cannot give is an error already.
        if (wish[part] === undefined || (part !== "seccomp" && pod.spec.runtimeClassName === "microvm")) continue;
        const said = await complaint(confiner, { [part]: wish[part] }, signal);
        if (said === undefined) continue;
        const field = fieldOf(container, part, `spec.${list}[${at}]`);
        findings.set(`${field} ${said.message}`, { field, ...said }); // one of the pod's is said once
      }
    }
  }
  return [...findings.values()];
}

async function complaint(
  confiner: Confiner,
  wish: ConfinementWish,
  signal: AbortSignal,
): Promise<Pick<Finding, "message" | "hint"> | undefined> {
  try {
    await confiner.find(wish, signal);
    return undefined;
  } catch (error) {
    if (!isGantryError(error, "config-missing", "invalid-config", "host-unsupported")) throw error;
    return { message: error.message, hint: error.hint };
  }
}

function fieldOf(container: Container, part: Part, base: string): string {
  const field = FIELDS[part];
  return `${container.securityContext?.[field] === undefined ? "spec" : base}.securityContext.${field}`;
}
