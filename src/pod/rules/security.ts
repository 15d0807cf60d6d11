/** Who a container runs as and what it may do. The container's settings win over the pod's. */
import type { Container, Pod } from "../../manifest/index.ts";
import type { ContainerSecurity, ContainerUser } from "../../sandbox/driver.ts";
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

/** @throws unsupported for a seccomp profile of the node */
export function securityOf(pod: Pod, container: Container): ContainerSecurity {
  const own = container.securityContext ?? {};
  const privileged = own.privileged ?? false;
  const profile = (own.seccompProfile ?? pod.spec.securityContext.seccompProfile)?.type ?? "RuntimeDefault";
  if (profile === "Localhost") {
    throw new GantryError("unsupported", "seccompProfile type Localhost is not supported", {
      hint: "Use RuntimeDefault or Unconfined.",
    });
  }
  const names = (list: readonly string[] = []): string[] => list.map((name) => name.toUpperCase().replace(/^CAP_/, ""));
  return {
    privileged,
    noNewPrivileges: own.allowPrivilegeEscalation === false && !privileged,
    readOnlyRootFilesystem: own.readOnlyRootFilesystem ?? false,
    capabilities: { add: names(own.capabilities?.add), drop: names(own.capabilities?.drop) },
    seccomp: { type: privileged ? "Unconfined" : profile },
  };
}
