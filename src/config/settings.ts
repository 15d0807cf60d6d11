import type { z } from "zod";
import { configSchema } from "./schema.ts";

/** How the text of an environment variable becomes a value. */
type FromText = (text: string) => unknown;

const word: FromText = (text) => text;
/** Left as text when it is no number: the schema then says what was expected. */
const number: FromText = (text) => (/^-?\d+$/.test(text) ? Number(text) : text);
const truth: FromText = (text) => (text === "true" ? true : text === "false" ? false : text);
/** Like PATH. */
const list: FromText = (text) => text.split(":").filter((part) => part !== "");
/** name=value,name=value */
const map: FromText = (text) =>
  Object.fromEntries(
    text
      .split(",")
      .filter((part) => part !== "")
      .map((part) => [part.slice(0, Math.max(0, part.indexOf("="))), part.slice(part.indexOf("=") + 1)]),
  );

/** Every setting by its path in the file, and how it is read from the environment. */
const fromText: Readonly<Record<string, FromText>> = {
  manifests: list,
  "node.name": word,
  "network.subnet": word,
  "network.mtu": number,
  "network.conflist": word,
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
  "update.intervalSeconds": number,
  "update.deadlineSeconds": number,
  "update.settleSeconds": number,
  "trust.default": word,
  "trust.imports": word,
  "trust.tuf": map,
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
export const settings: readonly Setting[] = Object.entries(configSchema.shape).flatMap(([name, part]) =>
  hasShape(part)
    ? Object.entries(part.shape).map(([key, leaf]) => setting(`${name}.${key}`, leaf))
    : [setting(name, part)],
);

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
