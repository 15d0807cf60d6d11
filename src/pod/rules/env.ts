/** The environment of a container: image, envFrom, env; later ones win. */
import type { ConfigMap, Container, EnvVar, EnvVarSource, Secret } from "../../manifest/index.ts";
import { GantryError } from "../../system/errors.ts";
import { expand } from "./expand.ts";

export interface EnvSources {
  /** ConfigMaps and Secrets of the pod's namespace. */
  configMap(name: string): ConfigMap | undefined;
  secret(name: string): Secret | undefined;
  /** What is set beside the manifest, for `$(VAR)`. */
  readonly links: readonly EnvEntry[];
  /** The value of a field of the pod. @throws unsupported */
  field(path: string): string;
  /** The value of a resource of a container. @throws unsupported */
  resource(containerName: string | undefined, resource: string, divisor: string): string;
}

export interface EnvEntry {
  readonly name: string;
  readonly value: string;
}

/**
 * What the manifest asks for, in order; `$(VAR)` sees envFrom and earlier entries of env.
 * @throws config-missing when a required ConfigMap, Secret or key is not there
 */
export function manifestEnv(container: Container, sources: EnvSources): EnvEntry[] {
  const env = new Map<string, string>();
  const links = new Map(sources.links.map(({ name, value }) => [name, value]));
  for (const { prefix = "", configMapRef, secretRef } of container.envFrom ?? []) {
    if (configMapRef !== undefined) {
      const map = sources.configMap(configMapRef.name);
      if (map === undefined && configMapRef.optional !== true) throw missing("ConfigMap", configMapRef.name);
      for (const [key, value] of Object.entries(map?.data ?? {})) setName(env, `${prefix}${key}`, value);
    }
    if (secretRef !== undefined) {
      const secret = sources.secret(secretRef.name);
      if (secret === undefined && secretRef.optional !== true) throw missing("Secret", secretRef.name);
      for (const key of Object.keys(secretKeys(secret)))
        setName(env, `${prefix}${key}`, secretValue(secret, key) ?? "");
    }
  }
  for (const entry of container.env ?? []) {
    const value = entryValue(entry, sources, (name) => env.get(name) ?? links.get(name));
    if (value === undefined) continue;
    env.delete(entry.name); // so that it stands where it was last set
    env.set(entry.name, value);
  }
  return [...env].map(([name, value]) => ({ name, value }));
}

/** Entries of `over` replace those of `under` with the same name. */
export function mergeEnv(under: readonly EnvEntry[], over: readonly EnvEntry[]): EnvEntry[] {
  const names = new Set(over.map(({ name }) => name));
  return [...under.filter(({ name }) => !names.has(name)), ...over];
}

function setName(env: Map<string, string>, name: string, value: string): void {
  // A key that can't be the name of a variable is skipped, as the kubelet does.
  if (/^[\x20-\x3c\x3e-\x7e]+$/.test(name)) env.set(name, value);
}

function entryValue(
  { value, valueFrom }: EnvVar,
  sources: EnvSources,
  lookup: (name: string) => string | undefined,
): string | undefined {
  return valueFrom === undefined ? expand(value ?? "", lookup) : resolve(valueFrom, sources);
}

/** @returns undefined for an optional reference to what is not there */
function resolve(from: EnvVarSource, sources: EnvSources): string | undefined {
  if (from.fieldRef !== undefined) return sources.field(from.fieldRef.fieldPath);
  if (from.resourceFieldRef !== undefined) {
    const { containerName, resource, divisor } = from.resourceFieldRef;
    return sources.resource(containerName, resource, divisor);
  }
  if (from.configMapKeyRef !== undefined) {
    const { name, key, optional } = from.configMapKeyRef;
    const map = sources.configMap(name);
    const value = map?.data?.[key];
    if (value === undefined && optional !== true) throw missing("ConfigMap", name, map === undefined ? undefined : key);
    return value;
  }
  if (from.secretKeyRef !== undefined) {
    const { name, key, optional } = from.secretKeyRef;
    const secret = sources.secret(name);
    const value = secretValue(secret, key);
    if (value === undefined && optional !== true) throw missing("Secret", name, secret === undefined ? undefined : key);
    return value;
  }
  throw new GantryError("unsupported", "this kind of env valueFrom is not supported", {
    hint: "Use configMapKeyRef, secretKeyRef, fieldRef or resourceFieldRef.",
  });
}

function secretKeys(secret: Secret | undefined): Readonly<Record<string, string>> {
  return { ...secret?.data, ...secret?.stringData };
}

function secretValue(secret: Secret | undefined, key: string): string | undefined {
  const plain = secret?.stringData?.[key];
  if (plain !== undefined) return plain;
  const encoded = secret?.data?.[key];
  if (encoded === undefined) return undefined;
  return new TextDecoder().decode(Uint8Array.from(atob(encoded), (char) => char.charCodeAt(0)));
}

function missing(kind: "ConfigMap" | "Secret", name: string, key?: string): GantryError {
  const what =
    key === undefined ? `${kind.toLowerCase()} "${name}" not found` : `couldn't find key ${key} in ${kind} ${name}`;
  return new GantryError("config-missing", what, {
    hint:
      key === undefined
        ? `Add a manifest of the ${kind}, or mark the reference as optional.`
        : `Add the key to the ${kind}, or mark the reference as optional.`,
  });
}
