/** The AppArmor profile of a container: its own field, else the annotation of before Kubernetes 1.30, else the pod's field. Pure. */
import type { Container, Pod, SecurityContext } from "./schema/index.ts";

/** Before the name of a container. */
export const APP_ARMOR_ANNOTATION = "container.apparmor.security.beta.kubernetes.io/";

export type AppArmorProfile = NonNullable<SecurityContext["appArmorProfile"]>;

const LOCALHOST = "localhost/";

/** Undefined when nothing is said, or when what is said in an annotation can't be understood. */
export function appArmorOf({ metadata, spec }: Pod, { name, securityContext }: Container): AppArmorProfile | undefined {
  const annotation = metadata.annotations?.[`${APP_ARMOR_ANNOTATION}${name}`];
  return (
    securityContext?.appArmorProfile ??
    (annotation === undefined ? undefined : profileIn(annotation)) ??
    spec.securityContext.appArmorProfile
  );
}

/** What the text of an annotation means; undefined: nothing. */
export function profileIn(annotation: string): AppArmorProfile | undefined {
  if (annotation === "runtime/default") return { type: "RuntimeDefault" };
  if (annotation === "unconfined") return { type: "Unconfined" };
  const name = annotation.startsWith(LOCALHOST) ? annotation.slice(LOCALHOST.length) : "";
  return name === "" ? undefined : { type: "Localhost", localhostProfile: name };
}
