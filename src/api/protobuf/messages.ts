/** What is known of the messages of Kubernetes: read from messages.txt when the first of them comes. */
import { readFileSync } from "node:fs";
import { GantryError } from "../../system/errors.ts";

export interface Field {
  /** As JSON calls it; undefined: what it holds stands in the object itself. */
  readonly name: string | undefined;
  readonly shape: "one" | "list" | "map";
  /** "string", "int", "bool", "bytes", or the name of a message. Keys of maps are strings. */
  readonly type: string;
  /** Go writes a zero though nothing was set, and JSON leaves it out. */
  readonly omitsZero: boolean;
}

export type Message = ReadonlyMap<number, Field>;

let known: ReadonlyMap<string, Message> | undefined;

/** @param name "core/v1.Pod" */
export function messageOf(name: string): Message | undefined {
  known ??= parse(readFileSync(new URL("./messages.txt", import.meta.url), "utf8"));
  return known.get(name);
}

/** Bodies that are the same in every group and version, and what clients of older releases call others. */
const ELSEWHERE: Readonly<Record<string, string>> = {
  DeleteOptions: "meta/v1.DeleteOptions",
  Eviction: "policy/v1.Eviction",
};

/** The name of the message of a kind: of "apps/v1" and "Deployment" it is "apps/v1.Deployment". */
export function nameOfKind(apiVersion: string, kind: string): string {
  if (Object.hasOwn(ELSEWHERE, kind)) return ELSEWHERE[kind] ?? "";
  const [group = "", version] = apiVersion.split("/");
  return version === undefined ? `core/${group}.${kind}` : `${group.split(".")[0]}/${version}.${kind}`;
}

const FIELD = /^ (\d+) (\S+) (\[\]|\{\})?([\w./]+)(\?)?$/;
const SHAPES: Readonly<Record<string, Field["shape"]>> = { "[]": "list", "{}": "map" };

function parse(text: string): ReadonlyMap<string, Message> {
  const all = new Map<string, Map<number, Field>>();
  let fields = new Map<number, Field>();
  for (const line of text.split("\n")) {
    if (line === "" || line.startsWith("#")) continue;
    if (!line.startsWith(" ")) {
      fields = new Map();
      all.set(line, fields);
      continue;
    }
    const [, number, name, shape = "", type, zero] = FIELD.exec(line) ?? [];
    if (name === undefined || type === undefined)
      throw new GantryError("internal", `messages.txt has a line that is no field: ${line}`);
    fields.set(Number(number), {
      name: name === "-" ? undefined : name,
      shape: SHAPES[shape] ?? "one",
      type,
      omitsZero: zero !== undefined,
    });
  }
  return all;
}
