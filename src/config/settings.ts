import { z } from "zod";
import { configSchema } from "./schema.ts";

/** How the text of an environment variable becomes a value. */
type FromText = (text: string) => unknown;

const word: FromText = (text) => text;
/** Left as text when it is no number: the schema then says what was expected. */
const number: FromText = (text) => (/^-?\d+$/.test(text) ? Number(text) : text);
const truth: FromText = (text) => (text === "true" ? true : text === "false" ? false : text);
/** Like PATH. */
const list: FromText = (text) => text.split(":").filter((part) => part !== "");
/** A program and its arguments, with spaces between them. */
const words: FromText = (text) => text.split(" ").filter((part) => part !== "");
/** name=value,name=value */
const map: FromText = (text) =>
  Object.fromEntries(
    text
      .split(",")
      .filter((part) => part !== "")
      .map((part) => [part.slice(0, Math.max(0, part.indexOf("="))), part.slice(part.indexOf("=") + 1)]),
  );

/** true, false, or 128Mi,2Gi/4 */
const warm: FromText = (text) =>
  text === "true" || text === "false" ? text === "true" : text.split(",").filter((part) => part !== "");

/** JSON; left as text when it is none. */
const json: FromText = (text) => {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
};

/** Every setting by its path in the file, and how it is read from the environment. */
const fromText: Readonly<Record<string, FromText>> = {
  manifests: list,
  sources: json,
  "webhook.listen": word,
  "node.name": word,
  "api.listen": word,
  "api.names": (text) => text.split(",").filter((part) => part !== ""),
  "network.subnet": word,
  "network.mtu": number,
  "network.conflist": word,
  "network.serviceSubnet": word,
  "network.domain": word,
  "runtime.oci": word,
  "runtime.handlers": map,
  "logs.maxSizeBytes": number,
  "logs.maxFiles": number,
  "backoff.maxSeconds": number,
  "reconcile.intervalSeconds": number,
  "reconcile.concurrency": number,
  "events.keep": number,
  "log.level": word,
  "userns.base": number,
  "seccomp.profiles": word,
  "images.preload": word,
  "images.pullsPerRegistry": number,
  "images.pullsPerPod": number,
  "images.pullStallSeconds": number,
  "gc.intervalSeconds": number,
  "gc.highPercent": number,
  "gc.lowPercent": number,
  "gc.minAgeSeconds": number,
  "gc.maxAgeSeconds": number,
  "gc.imported": truth,
  "eviction.pressureTransitionPeriodSeconds": number,
  "eviction.intervalSeconds": number,
  "update.intervalSeconds": number,
  "update.deadlineSeconds": number,
  "update.settleSeconds": number,
  "volumes.deleteAfterSeconds": number,
  "trust.default": word,
  "trust.imports": word,
  "trust.tuf": map,
  "microvm.memory": number,
  "microvm.vcpus": number,
  "microvm.warm": warm,
  "microvm.templates.keep": number,
  "microvm.templates.maxMemory": number,
  "microvm.standby.keep": number,
  "microvm.bootTimeoutSeconds": number,
  "secrets.age.keys": list,
  "notify.url": word,
  "notify.secretFile": word,
  "notify.command": words,
  "notify.statusDirectory": word,
  "notify.results": word,
  "notify.tries": number,
};

export interface Setting {
  /** "network.subnet" */
  readonly path: string;
  /** "GANTRY_NETWORK_SUBNET" */
  readonly variable: string;
  readonly description: string;
  readonly fromText: FromText;
}

/** All settings, in the order of the schema. */
export const settings: readonly Setting[] = settingsOf(configSchema.shape, "");

function settingsOf(shape: Readonly<Record<string, z.core.$ZodType>>, prefix: string): Setting[] {
  return Object.entries(shape).flatMap(([name, part]) => {
    if (!(part instanceof z.ZodType)) return [];
    return hasShape(part) ? settingsOf(part.shape, `${prefix}${name}.`) : [setting(`${prefix}${name}`, part)];
  });
}

function setting(path: string, schema: z.ZodType): Setting {
  return { path, variable: variableOf(path), description: schema.description ?? "", fromText: fromText[path] ?? word };
}

function hasShape(schema: z.ZodType): schema is z.ZodObject {
  return "shape" in schema;
}

function variableOf(path: string): string {
  return `GANTRY_${path
    .replaceAll(".", "_")
    .replaceAll(/([a-z])([A-Z])/g, "$1_$2")
    .toUpperCase()}`;
}

/** Puts a value into a tree of sections, at a path such as "log.level". */
export function put(tree: Record<string, unknown>, path: string, value: unknown): void {
  const [name = "", ...rest] = path.split(".");
  if (rest.length === 0) {
    tree[name] = value;
    return;
  }
  const inner: Record<string, unknown> = { ...(isTree(tree[name]) ? tree[name] : {}) };
  put(inner, rest.join("."), value);
  tree[name] = inner;
}

function isTree(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
