/** Checks of the security contexts of a pod and its containers (k8s.io/kubernetes/pkg/apis/core/validation). */
import { ALL_CAPABILITIES, capabilityName } from "../../system/capabilities.ts";
import { nearestName } from "../../system/nearest.ts";
import { APP_ARMOR_ANNOTATION, type AppArmorProfile, profileIn } from "../app-armor.ts";
import { type FieldPath, show } from "../issue.ts";
import type { Container, Pod, SecurityContext } from "../schema/index.ts";
import type { Report } from "./index.ts";

/** A name of AppArmor's, in the API server's view. */
const MAX_PROFILE_NAME = 4095;

export function validateSecurity(pod: Pod, report: Report): void {
  const { metadata, spec } = pod;
  validateProfiles(spec.securityContext, ["spec", "securityContext"], report);
  const all = new Map<string, Container>();
  for (const list of ["initContainers", "containers"] as const) {
    for (const [index, container] of (spec[list] ?? []).entries()) {
      const path: FieldPath = ["spec", list, index, "securityContext"];
      all.set(container.name, container);
      validateCapabilities(container.securityContext, path, report);
      validateEscalation(container.securityContext, path, report);
      validateProfiles(container.securityContext, path, report);
      if (container.securityContext?.procMount === "Unmasked" && spec.hostUsers !== false) {
        report(
          [...path, "procMount"],
          "Unmasked needs hostUsers: false: what is hidden otherwise acts on the host",
          "set hostUsers: false in the pod's spec, or leave procMount out",
        );
      }
    }
  }
  validateAnnotations(metadata.annotations ?? {}, all, report);
}

function validateCapabilities(context: SecurityContext | undefined, path: FieldPath, report: Report): void {
  for (const list of ["add", "drop"] as const) {
    for (const [index, name] of (context?.capabilities?.[list] ?? []).entries()) {
      if (capabilityName(name) !== undefined) continue;
      const known = ["ALL", ...ALL_CAPABILITIES.map((full) => full.slice("CAP_".length))];
      const near = nearestName(name.toUpperCase(), known);
      report(
        [...path, "capabilities", list, index],
        `${show(name)} is not a capability`,
        near === undefined ? "e.g. NET_ADMIN, or ALL: see capabilities(7)" : `did you mean '${near}'?`,
      );
    }
  }
}

function validateEscalation(context: SecurityContext | undefined, path: FieldPath, report: Report): void {
  if (context?.allowPrivilegeEscalation !== false) return;
  const at = [...path, "allowPrivilegeEscalation"];
  if (context.privileged === true) report(at, "can't be false in a privileged container", "remove one of them");
  const added = context.capabilities?.add ?? [];
  if (added.some((name) => name === "CAP_SYS_ADMIN" || name === "SYS_ADMIN"))
    report(at, "can't be false with the capability SYS_ADMIN", "remove one of them");
}

/** Those of a pod or of one of its containers. */
function validateProfiles(
  context: Pick<SecurityContext, "appArmorProfile" | "seccompProfile"> | undefined,
  path: FieldPath,
  report: Report,
): void {
  for (const field of ["seccompProfile", "appArmorProfile"] as const) {
    const profile = context?.[field];
    if (profile === undefined) continue;
    const at = [...path, field];
    const name = profile.localhostProfile;
    if (profile.type !== "Localhost") {
      if (name !== undefined)
        report([...at, "localhostProfile"], `is for type Localhost only, not ${profile.type}`, "remove one of them");
    } else if (name === undefined || name.trim() === "") {
      report(at, "type Localhost needs a localhostProfile", "name the profile, or use RuntimeDefault");
    } else if (field === "seccompProfile") validatePath(name, [...at, "localhostProfile"], report);
    else validateName(name, [...at, "localhostProfile"], report);
  }
}

function validatePath(name: string, at: FieldPath, report: Report): void {
  const hint = "it is looked for in the folder seccomp.profiles of the configuration, e.g. profiles/audit.json";
  if (name.startsWith("/")) report(at, `${show(name)} must be a relative path`, hint);
  else if (name.split("/").includes("..")) report(at, `${show(name)} must not contain '..'`, hint);
}

function validateName(name: string, at: FieldPath, report: Report): void {
  if (name !== name.trim()) report(at, `${show(name)} must not begin or end with white space`);
  if (name.length > MAX_PROFILE_NAME) report(at, `is longer than ${MAX_PROFILE_NAME} characters`);
}

function validateAnnotations(
  annotations: Readonly<Record<string, string>>,
  containers: ReadonlyMap<string, Container>,
  report: Report,
): void {
  for (const [annotation, text] of Object.entries(annotations)) {
    if (!annotation.startsWith(APP_ARMOR_ANNOTATION)) continue;
    const at: FieldPath = ["metadata", "annotations", annotation];
    const name = annotation.slice(APP_ARMOR_ANNOTATION.length);
    const container = containers.get(name);
    const profile = profileIn(text);
    if (container === undefined) {
      const near = nearestName(name, [...containers.keys()]);
      report(
        at,
        `the pod has no container ${show(name)}`,
        near === undefined ? "the annotation ends with the name of a container" : `did you mean '${near}'?`,
      );
    } else if (profile === undefined) {
      report(at, `${show(text)} is no AppArmor profile`, "one of: runtime/default, unconfined, localhost/NAME");
    } else if (differs(profile, container.securityContext?.appArmorProfile)) {
      report(at, "says otherwise than securityContext.appArmorProfile of the container", "remove the annotation");
    }
  }
}

function differs(annotation: AppArmorProfile, field: AppArmorProfile | undefined): boolean {
  if (field === undefined) return false;
  return field.type !== annotation.type || field.localhostProfile !== annotation.localhostProfile;
}
