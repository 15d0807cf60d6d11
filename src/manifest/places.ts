/** Where the fields of an object stand that only a look beyond its own file can find fault with. Pure. */
import type { ManifestObject, Place } from "./contract.ts";
import { type FieldPath, fieldName } from "./issue.ts";
import { DEPENDS_ON_ANNOTATION } from "./pod-annotations.ts";
import type { Container, Pod, PodSecurityContext, SecurityContext, Service } from "./schema/index.ts";
import { describedPod } from "./templates.ts";
import { vmRefusals } from "./vm-refusals.ts";

/**
 * @param locate gives the place of a field of the object
 * @returns places by the name of the field: "spec.containers[0].image"
 */
export function placesOf(object: ManifestObject, locate: (path: FieldPath) => Place): ReadonlyMap<string, Place> {
  return new Map(fieldsOf(object).map((path) => [fieldName(path), locate(path)]));
}

/**
 * Names may be taken and ports used; classes, images, files, profiles, ConfigMaps and Secrets may be absent; a class may
 * be one that cannot give what is asked for; a volume may be larger than its claim.
 */
function fieldsOf(object: ManifestObject): FieldPath[] {
  const name: FieldPath = ["metadata", "name"];
  if (object.kind === "PersistentVolumeClaim") return [name, ["spec", "resources", "requests", "storage"]];
  const described = describedPod(object);
  const own: FieldPath[] = object.kind === "Pod" ? [name] : [name, ["spec", "selector"]];
  if (object.kind === "Service") return [name, ...fieldsOfService(object)];
  if (described === undefined) return [name];
  return [...own, ...fieldsOfPod(described.pod).map((path) => [...described.path, ...path])];
}

function fieldsOfService({ spec }: Service): FieldPath[] {
  const ports = (spec.ports ?? []).flatMap(({ nodePort }, at): FieldPath[] =>
    nodePort === undefined ? [] : [["spec", "ports", at, "nodePort"]],
  );
  return [["spec"], ...(spec.clusterIP === undefined ? [] : [["spec", "clusterIP"]]), ...ports];
}

function fieldsOfPod(pod: Pod): FieldPath[] {
  const { metadata, spec } = pod;
  const fields: FieldPath[] = vmRefusals(pod).map(({ path }) => path);
  if (metadata.annotations?.[DEPENDS_ON_ANNOTATION] !== undefined)
    fields.push(["metadata", "annotations", DEPENDS_ON_ANNOTATION]);
  fields.push(...profilesOf(spec.securityContext).map((path) => ["spec", ...path]));
  if (spec.runtimeClassName !== undefined) fields.push(["spec", "runtimeClassName"]);
  for (const list of ["initContainers", "containers"] as const) {
    for (const [at, container] of (spec[list] ?? []).entries()) {
      fields.push(["spec", list, at, "image"]);
      fields.push(...profilesOf(container.securityContext).map((path) => ["spec", list, at, ...path]));
      fields.push(...referencesOf(container).map((path) => ["spec", list, at, ...path]));
      for (const [port, { hostPort }] of (container.ports ?? []).entries()) {
        if (hostPort !== undefined) fields.push(["spec", list, at, "ports", port, "hostPort"]);
      }
    }
  }
  for (const [at, { hostPath, configMap, secret, persistentVolumeClaim, projected }] of (
    spec.volumes ?? []
  ).entries()) {
    if (hostPath !== undefined) fields.push(["spec", "volumes", at, "hostPath", "path"]);
    if (configMap !== undefined) fields.push(["spec", "volumes", at, "configMap", "name"]);
    if (secret !== undefined) fields.push(["spec", "volumes", at, "secret", "secretName"]);
    for (const [n, source] of (projected?.sources ?? []).entries()) {
      if (source.configMap !== undefined)
        fields.push(["spec", "volumes", at, "projected", "sources", n, "configMap", "name"]);
      if (source.secret !== undefined)
        fields.push(["spec", "volumes", at, "projected", "sources", n, "secret", "name"]);
    }
    if (persistentVolumeClaim !== undefined) fields.push(["spec", "volumes", at, "persistentVolumeClaim", "claimName"]);
  }
  return fields;
}

/** What the host may not have. */
function profilesOf(context: SecurityContext | PodSecurityContext | undefined): FieldPath[] {
  return (["seccompProfile", "appArmorProfile", "seLinuxOptions"] as const)
    .filter((field) => context?.[field] !== undefined)
    .map((field) => ["securityContext", field]);
}

/** ConfigMaps and Secrets of the environment. */
function referencesOf({ env = [], envFrom = [] }: Container): FieldPath[] {
  const single = env.flatMap(({ valueFrom = {} }, at) =>
    (["configMapKeyRef", "secretKeyRef"] as const)
      .filter((source) => valueFrom[source] !== undefined)
      .map((source) => ["env", at, "valueFrom", source]),
  );
  const whole = envFrom.flatMap((from, at) =>
    (["configMapRef", "secretRef"] as const)
      .filter((source) => from[source] !== undefined)
      .map((source) => ["envFrom", at, source]),
  );
  return [...single, ...whole];
}

/** The place of a field of an object, as far as it is known: the object's own otherwise. */
export function placeOfField(
  loaded: { readonly place: Place; readonly places: ReadonlyMap<string, Place> },
  field: string,
): Place {
  return loaded.places.get(field) ?? loaded.place;
}
