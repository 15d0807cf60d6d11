/** What to do about a value that is wrong: what was probably meant. Pure. */
import { nearestName } from "../system/nearest.ts";
import { type FieldPath, fieldName, nearestHint } from "./issue.ts";
import { parseQuantity } from "./quantity.ts";
import { elementOf, fieldsAt, type Schema, shapeOf, unwrap } from "./zod-schema.ts";

/** Names and images are where what a template left out is noticed first. */
export function templateHint(value: unknown): string | undefined {
  if (typeof value !== "string" || !/\{\{.*\}\}|\$\{\w+\}/s.test(value)) return undefined;
  return "fill in the template first: helm template, or envsubst";
}

/** What was meant by `256MB`, `1 Gi` and `0,5`. */
export function quantityHint(message: string | undefined, value: unknown): string | undefined {
  if (message?.startsWith("must be a quantity") !== true || typeof value !== "string") return undefined;
  if (parseQuantity(value) !== undefined) return undefined;
  const [, number, unit = ""] = /^\s*(\d+(?:[.,]\d+)?)\s*([a-zA-Z ]*)$/.exec(value) ?? [];
  if (number === undefined) return undefined;
  const bytes = /^([kmgtpe])\s*i?\s*b?$/i.exec(unit.trim());
  const letter = bytes?.[1]?.toUpperCase();
  const meant = unit.trim() === "m" || letter === undefined ? unit.trim() : `${letter}i`;
  const written = `${number.replace(",", ".")}${meant}`;
  return parseQuantity(written) === undefined ? undefined : `did you mean '${written}'?`;
}

/** The value is of another type. */
export function typeHint(expected: string, value: unknown, path: FieldPath): string | undefined {
  if (value === null) return "remove it, or write what belongs there";
  if (expected === "string" && typeof value === "object" && path.length === 2 && path[0] === "data")
    return "begin a text of several lines with '|' after the ':'";
  if (expected === "string" && path.at(-1) === "matchLabels") return "write the labels themselves, without matchLabels";
  if (expected === "string" && (typeof value === "number" || typeof value === "boolean"))
    return `put it in quotes: "${value}"`;
  if (expected === "boolean" && typeof value === "string") {
    if (/^(true|yes|on|y)$/i.test(value)) return "write true, without quotes";
    if (/^(false|no|off|n)$/i.test(value)) return "write false, without quotes";
  }
  if ((expected === "int" || expected === "number") && typeof value === "string" && /^-?\d+$/.test(value))
    return "remove the quotes";
  if (expected === "int" || expected === "number") {
    const seconds = typeof value === "string" ? /^(\d+) ?s$/.exec(value)?.[1] : undefined;
    if (seconds !== undefined) return `write the seconds alone: ${seconds}`;
    const ports = typeof value === "string" ? /^(\d+):(\d+)$/.exec(value) : undefined;
    if (ports) return `two fields: hostPort: ${ports[1]} and containerPort: ${ports[2]}`;
  }
  if ((expected === "object" || expected === "record") && typeof value === "string" && /^[\w.-]+:\S/.test(value))
    return "put a space after the ':'";
  if (expected === "array") return "start each entry with '- '";
  return undefined;
}

/** What an object may have, when it is short. */
export function fieldsHint(schema: Schema, path: FieldPath): string | undefined {
  const fields = fieldsAt(schema, path);
  return fields.length > 0 && fields.length <= 8 ? `its fields are: ${fields.join(", ")}` : undefined;
}

/** The object at `path`, which may have the fields `known`, has a field `key`. */
export function unknownFieldHint(
  schema: Schema,
  path: FieldPath,
  key: string,
  known: readonly string[],
): string | undefined {
  const compose = known.includes("imagePullPolicy") ? COMPOSE_WORDS : {};
  const exact = Object.hasOwn(compose, key) ? key : undefined;
  if (exact !== undefined || nearestName(key, known) === undefined) {
    const word = exact ?? nearestName(key, Object.keys(compose));
    if (word !== undefined) return `a manifest says ${compose[word]}`;
    const home = homeOf(key, schema, path);
    if (home !== undefined) return `it belongs to ${home}`;
  }
  return nearestHint(key, known, "the fields here are");
}

/** What people write in a container who come from Compose files. */
const COMPOSE_WORDS: Readonly<Record<string, string>> = {
  cap_add: "securityContext.capabilities.add",
  depends_on: "it in the annotation gantry.dev/depends-on of the pod",
  entrypoint: "command, and args for what follows",
  env_file: "envFrom, with a ConfigMap",
  environment: "env, a list of names and values",
  healthcheck: "readinessProbe and livenessProbe",
  restart: "restartPolicy, which is a field of the pod: spec.restartPolicy",
  user: "securityContext.runAsUser, a number",
};

/** Names that mean something else in every place. */
const SEEN_TOO_OFTEN = 8;

/** The object nearest to the root that has such a field, e.g. "spec.containers[]"; undefined when many have one. */
function homeOf(key: string, schema: Schema, from: FieldPath): string | undefined {
  const here = fieldName(from).replaceAll(/\[\d+\]/g, "[]");
  const homes = (homesIn(schema).get(key) ?? []).filter((home) => home !== here);
  const [first] = homes;
  return first === "" || homes.length > SEEN_TOO_OFTEN ? undefined : first;
}

/** Made when the first field is unknown: a file may be full of them. */
const HOMES = new WeakMap<Schema, ReadonlyMap<string, readonly string[]>>();
/** Probes are the deepest that is worth a hint. */
const DEPTH = 7;

/** The objects that have a field of a name, those nearest to the root first. */
function homesIn(schema: Schema): ReadonlyMap<string, readonly string[]> {
  const known = HOMES.get(schema);
  if (known !== undefined) return known;
  const homes = new Map<string, string[]>();
  let level: { readonly at: Schema; readonly path: string }[] = [{ at: schema, path: "" }];
  for (let depth = 0; depth < DEPTH && level.length > 0; depth += 1) {
    level = level.flatMap(({ at, path }) => {
      const inner = unwrap(at);
      const element = inner._zod.def.type === "array" ? elementOf(inner) : undefined;
      const shape = shapeOf(element === undefined ? inner : unwrap(element)) ?? {};
      const here = element === undefined ? path : `${path}[]`;
      return Object.entries(shape).map(([name, field]) => {
        homes.set(name, [...(homes.get(name) ?? []), here]);
        return { at: field, path: here === "" ? name : `${here}.${name}` };
      });
    });
  }
  HOMES.set(schema, homes);
  return homes;
}
