/** Who a container runs as and what it may do. The container's settings win over the pod's. */
import type { Confinement, ConfinementWish } from "../../confine/index.ts";
import { appArmorOf } from "../../manifest/app-armor.ts";
import type { Container, Pod } from "../../manifest/index.ts";
import type { SecurityContext } from "../../manifest/schema/index.ts";
import type { ContainerSecurity, ContainerUser, SeccompChoice } from "../../sandbox/driver.ts";
import { GantryError } from "../../system/errors.ts";

/**
 * @param imageUser USER of the image: "", "user", "uid", "user:group" …
 * @throws invalid-manifest when runAsNonRoot is asked for and root would run, or can't be told not to
 */
export function userOf(pod: Pod, container: Container, imageUser: string): ContainerUser {
  const own = container.securityContext ?? {};
  const common = pod.spec.securityContext;
  const uid = own.runAsUser ?? common.runAsUser;
  const gid = own.runAsGroup ?? common.runAsGroup;
  if ((own.runAsNonRoot ?? common.runAsNonRoot) === true) assertNonRoot(uid, imageUser, container.name);
  const groups = [...(common.supplementalGroups ?? []), ...(common.fsGroup === undefined ? [] : [common.fsGroup])];
  return {
    ...(uid === undefined ? {} : { uid }),
    ...(gid === undefined ? {} : { gid }),
    ...(uid === undefined && imageUser !== "" ? { name: imageUser } : {}),
    supplementalGroups: [...new Set(groups)],
    ...(common.supplementalGroupsPolicy === "Strict" ? { onlyTheseGroups: true } : {}),
  };
}

/** The messages are the kubelet's (security_context.go, verifyRunAsNonRoot). */
function assertNonRoot(uid: number | undefined, imageUser: string, name: string): void {
  const refuse = (message: string): never => {
    throw new GantryError("invalid-manifest", message, {
      hint: `Set runAsUser of container ${name} to a uid other than 0.`,
    });
  };
  if (uid !== undefined) {
    if (uid === 0) refuse("container's runAsUser breaks non-root policy");
    return;
  }
  const [user = ""] = imageUser.split(":");
  if (user === "" || /^0+$/.test(user)) refuse("container has runAsNonRoot and image will run as root");
  if (!/^\d+$/.test(user))
    refuse(`container has runAsNonRoot and image has non-numeric user (${user}), cannot verify user is non-root`);
}

/** What only the host can say of how a container is to be confined. A privileged one has neither filter nor default profile. */
export function confinementWish(pod: Pod, container: Container): ConfinementWish {
  const privileged = container.securityContext?.privileged ?? false;
  const seccomp = seccompProfileOf(pod, container);
  const appArmor = appArmorOf(pod, container);
  const seLinux = container.securityContext?.seLinuxOptions ?? pod.spec.securityContext.seLinuxOptions;
  return {
    ...(seccomp?.type === "Localhost" && !privileged ? { seccomp: seccomp.localhostProfile ?? "" } : {}),
    ...(appArmor?.type === "Localhost"
      ? { appArmor: { type: "Localhost", name: appArmor.localhostProfile ?? "" } }
      : appArmor?.type === "RuntimeDefault" && !privileged
        ? { appArmor: { type: "RuntimeDefault" } }
        : {}),
    ...(seLinux !== undefined && Object.values(seLinux).some(Boolean) ? { seLinux: partsOf(seLinux) } : {}),
  };
}

/** @param confinement what the host has for `confinementWish` */
export function securityOf(pod: Pod, container: Container, confinement: Confinement): ContainerSecurity {
  const own = container.securityContext ?? {};
  const privileged = own.privileged ?? false;
  const names = (list: readonly string[] = []): string[] => list.map((name) => name.toUpperCase().replace(/^CAP_/, ""));
  return {
    privileged,
    noNewPrivileges: own.allowPrivilegeEscalation === false && !privileged,
    readOnlyRootFilesystem: own.readOnlyRootFilesystem ?? false,
    capabilities: { add: names(own.capabilities?.add), drop: names(own.capabilities?.drop) },
    seccomp: privileged ? { type: "Unconfined" } : seccompOf(pod, container, confinement),
    ...(own.procMount === "Unmasked" ? { unmasked: true } : {}),
    ...(confinement.appArmor === undefined ? {} : { appArmorProfile: confinement.appArmor }),
    ...(confinement.seLinux === undefined ? {} : { seLinux: confinement.seLinux }),
  };
}

function seccompOf(pod: Pod, container: Container, { seccomp: profile }: Confinement): SeccompChoice {
  if (profile !== undefined) return { type: "Localhost", profile };
  // Ours is RuntimeDefault where the kubelet's is Unconfined.
  return { type: seccompProfileOf(pod, container)?.type === "Unconfined" ? "Unconfined" : "RuntimeDefault" };
}

function seccompProfileOf(pod: Pod, { securityContext }: Container): SecurityContext["seccompProfile"] {
  return securityContext?.seccompProfile ?? pod.spec.securityContext.seccompProfile;
}

/** "" is nothing, as in Go. */
function partsOf({
  user,
  role,
  type,
  level,
}: NonNullable<SecurityContext["seLinuxOptions"]>): NonNullable<ConfinementWish["seLinux"]> {
  return { ...(user && { user }), ...(role && { role }), ...(type && { type }), ...(level && { level }) };
}
