import { keyOf } from "../desired.ts";
import {
  type Container,
  describedPod,
  type LoadedObject,
  type Pod,
  type Problem,
  placeOfField,
} from "../manifest/index.ts";

/** What a pod takes from a ConfigMap or Secret, or claims. */
interface Reference {
  readonly kind: "ConfigMap" | "Secret" | "PersistentVolumeClaim";
  readonly name: string;
  readonly key: string | undefined;
  readonly field: string;
}

/**
 * ConfigMaps, Secrets, keys and claims that pods need and that no manifest has. Warnings: they may come later, and the pod
 * waits for them. Pure.
 *
 * @param others objects that are not checked themselves, but count as being there
 */
export function missingReferences(objects: readonly LoadedObject[], others: readonly LoadedObject[]): Problem[] {
  const keys = new Map<string, ReadonlySet<string>>();
  for (const { object } of [...others, ...objects]) {
    if (object.kind === "ConfigMap") {
      keys.set(
        `ConfigMap ${keyOf(object)}`,
        new Set([...Object.keys(object.data ?? {}), ...Object.keys(object.binaryData ?? {})]),
      );
    }
    if (object.kind === "StatefulSet") {
      // It makes them itself; its pod is described as the first of them.
      for (const { metadata } of object.spec.volumeClaimTemplates ?? [])
        keys.set(
          `PersistentVolumeClaim ${object.metadata.namespace}/${metadata.name}-${object.metadata.name}-0`,
          new Set(),
        );
    }
    if (object.kind === "PersistentVolumeClaim") keys.set(`PersistentVolumeClaim ${keyOf(object)}`, new Set());
    if (object.kind === "Secret") keys.set(`Secret ${keyOf(object)}`, new Set(Object.keys(object.data ?? {})));
  }
  return objects.flatMap((loaded) => {
    const { object } = loaded;
    const described = describedPod(object);
    if (described === undefined) return [];
    const base = described.path.map((part) => `${part}.`).join("");
    const namespace = object.metadata.namespace ?? "default";
    return referencesOf(described.pod).flatMap(({ kind, name, key, field: inPod }): Problem[] => {
      const identity = `${kind} ${namespace}/${name}`;
      const field = `${base}${inPod}`;
      const found = keys.get(identity);
      if (found !== undefined && (key === undefined || found.has(key))) return [];
      const message = found === undefined ? `${identity} is in no manifest` : `${identity} has no key '${key}'`;
      const optional = kind === "PersistentVolumeClaim" ? "" : "; mark it optional if it may be missing";
      const hint = `the pod waits until it is there${optional}`;
      const place = placeOfField(loaded, field);
      return [{ severity: "warning", place, field, message, hint, object: `${object.kind} ${keyOf(object)}` }];
    });
  });
}

function referencesOf({ spec }: Pod): Reference[] {
  const containers = [
    ...(spec.initContainers ?? []).map((container, at) =>
      referencesOfContainer(container, `spec.initContainers[${at}]`),
    ),
    ...spec.containers.map((container, at) => referencesOfContainer(container, `spec.containers[${at}]`)),
  ];
  const volumes = (spec.volumes ?? []).flatMap(
    ({ configMap, persistentVolumeClaim, secret, projected }, at): Reference[] => {
      const field = `spec.volumes[${at}]`;
      if (persistentVolumeClaim !== undefined) {
        const name = persistentVolumeClaim.claimName;
        return [
          { kind: "PersistentVolumeClaim", name, key: undefined, field: `${field}.persistentVolumeClaim.claimName` },
        ];
      }
      if (configMap !== undefined && configMap.optional !== true) {
        return [{ kind: "ConfigMap", name: configMap.name, key: undefined, field: `${field}.configMap.name` }];
      }
      if (secret !== undefined && secret.optional !== true) {
        return [{ kind: "Secret", name: secret.secretName, key: undefined, field: `${field}.secret.secretName` }];
      }
      return (projected?.sources ?? []).flatMap((source, n) => {
        const base = `${field}.projected.sources[${n}]`;
        return (["configMap", "secret"] as const).flatMap((name): Reference[] => {
          const one = source[name];
          if (one === undefined || one.optional === true) return [];
          const kind = name === "configMap" ? "ConfigMap" : "Secret";
          return [{ kind, name: one.name, key: undefined, field: `${base}.${name}.name` }];
        });
      });
    },
  );
  return [...containers.flat(), ...volumes];
}

function referencesOfContainer({ env = [], envFrom = [] }: Container, base: string): Reference[] {
  const single = env.flatMap(({ valueFrom }, at): Reference[] => {
    const field = `${base}.env[${at}].valueFrom`;
    const { configMapKeyRef, secretKeyRef } = valueFrom ?? {};
    if (configMapKeyRef !== undefined && configMapKeyRef.optional !== true) {
      return [
        { kind: "ConfigMap", name: configMapKeyRef.name, key: configMapKeyRef.key, field: `${field}.configMapKeyRef` },
      ];
    }
    if (secretKeyRef !== undefined && secretKeyRef.optional !== true) {
      return [{ kind: "Secret", name: secretKeyRef.name, key: secretKeyRef.key, field: `${field}.secretKeyRef` }];
    }
    return [];
  });
  const whole = envFrom.flatMap(({ configMapRef, secretRef }, at): Reference[] => {
    const field = `${base}.envFrom[${at}]`;
    if (configMapRef !== undefined && configMapRef.optional !== true) {
      return [{ kind: "ConfigMap", name: configMapRef.name, key: undefined, field: `${field}.configMapRef` }];
    }
    if (secretRef !== undefined && secretRef.optional !== true) {
      return [{ kind: "Secret", name: secretRef.name, key: undefined, field: `${field}.secretRef` }];
    }
    return [];
  });
  return [...single, ...whole];
}
