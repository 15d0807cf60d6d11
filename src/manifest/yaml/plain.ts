/**
 * A YAML tree to plain JSON data, with what a manifest needs checked on the way: duplicate keys, alias
 * bombs, merge keys and empty values.
 */
import { type Alias, isAlias, isMap, isPair, isScalar, isSeq, type ParsedNode, type YAMLMap } from "yaml";
import type { FieldPath, Issue } from "../issue.ts";

/** Nodes that aliases may add to one document, in total. */
const ALIAS_LIMIT = 10_000;
/** More values than any manifest has: each of them is checked, and each that is wrong is told of. */
export const VALUES_LIMIT = 100_000;
export const TOO_MANY_VALUES = `there are more than ${VALUES_LIMIT} values in it`;
/** Kubernetes' own types nest about 15 levels deep. */
export const DEPTH_LIMIT = 100;

/** Fields that are maps from names to values: an empty value there is a mistake, not an absent field. */
const MAP_FIELDS: ReadonlySet<string> = new Set([
  "annotations",
  "binaryData",
  "data",
  "labels",
  "limits",
  "matchLabels",
  "nodeSelector",
  "options",
  "overhead",
  "podFixed",
  "requests",
  "stringData",
  "userAnnotations",
  "volumeAttributes",
]);

/** What every object begins with. */
const HEAD: ReadonlySet<string> = new Set(["apiVersion", "kind", "metadata"]);

export interface Finding {
  readonly node: ParsedNode;
  readonly issue: Issue;
}

/** A document that can't be made plain at all: nothing else is worth saying about it. */
export class UnusableDocument extends Error {
  readonly finding: Finding;
  constructor(node: ParsedNode, path: FieldPath, message: string, hint: string) {
    super(message);
    this.finding = { node, issue: { severity: "error", path, message, hint } };
  }
}

/** Converts one document. Anchors are looked up in the order of the text, as YAML defines. */
export class PlainConverter {
  readonly findings: Finding[] = [];
  readonly #anchors = new Map<string, ParsedNode>();
  readonly #open = new Set<ParsedNode>();
  #aliasDepth = 0;
  #aliasNodes = 0;
  #nodes = 0;

  /** @throws UnusableDocument */
  convert(node: ParsedNode | null, path: FieldPath = []): unknown {
    if (node === null) return null;
    if (path.length > DEPTH_LIMIT) {
      throw new UnusableDocument(
        node,
        [],
        `fields are nested more than ${DEPTH_LIMIT} levels deep`,
        "no manifest needs that",
      );
    }
    if (++this.#nodes > VALUES_LIMIT)
      throw new UnusableDocument(node, path, TOO_MANY_VALUES, "no manifest needs that: split the file");
    if (this.#aliasDepth > 0 && ++this.#aliasNodes > ALIAS_LIMIT) {
      throw new UnusableDocument(
        node,
        path,
        `aliases expand to more than ${ALIAS_LIMIT} values`,
        "write the values out, or split the file",
      );
    }
    if (isAlias(node)) return this.#alias(node, path);
    if (node.anchor !== undefined) this.#anchors.set(node.anchor, node);
    if (isScalar(node)) return node.value;
    this.#open.add(node);
    const value = isMap(node) ? this.#map(node, path) : this.#seq(node, path);
    this.#open.delete(node);
    return value;
  }

  /** The node that an alias stands for. */
  target(alias: Alias): ParsedNode | undefined {
    return this.#anchors.get(alias.source);
  }

  #alias(alias: Alias.Parsed, path: FieldPath): unknown {
    const target = this.target(alias);
    if (target === undefined) {
      throw new UnusableDocument(
        alias,
        path,
        `the alias *${alias.source} has no anchor before it`,
        `define it with &${alias.source}`,
      );
    }
    if (this.#open.has(target)) {
      throw new UnusableDocument(alias, path, `the alias *${alias.source} contains itself`, "write the value out");
    }
    this.#aliasDepth += 1;
    const value = this.convert(target, path);
    this.#aliasDepth -= 1;
    return value;
  }

  #seq(node: ParsedNode, path: FieldPath): unknown[] {
    if (!isSeq<ParsedNode>(node)) return [];
    // A `? key` inside a flow list makes a pair; it stands for a map with that one key, which no list here has.
    return node.items.map((item, index) => (isPair(item) ? null : this.convert(item, [...path, index])));
  }

  #map(node: YAMLMap.Parsed, path: FieldPath): Record<string, unknown> {
    const result: Record<string, unknown> = {};
    const merged: Record<string, unknown>[] = [];
    const isMapField = MAP_FIELDS.has(String(path.at(-1)));
    for (const { key, value } of node.items) {
      const name = isScalar(key) ? String(key.value) : String(this.convert(key, path));
      if (name === "<<" && isScalar(key) && key.type === "PLAIN") {
        this.#merge(value, path, merged);
        continue;
      }
      const inner = [...path, name];
      if (Object.hasOwn(result, name)) {
        const issue: Issue = {
          severity: "error",
          path: inner,
          message: `the key '${name}' is there twice`,
          hint: path.length === 0 && HEAD.has(name) ? "put a line '---' between two objects" : "remove one of them",
        };
        this.findings.push({ node: key, issue });
        continue;
      }
      const plain = this.convert(value, inner);
      define(result, name, plain);
    }
    for (const source of merged)
      for (const [name, value] of Object.entries(source)) if (!Object.hasOwn(result, name)) define(result, name, value);
    if (!isMapField) dropEmpty(result, path, node, this.findings);
    return result;
  }

  /** `<<: *base` and `<<: [*a, *b]`, which kubectl reads too. */
  #merge(value: ParsedNode | null, path: FieldPath, into: Record<string, unknown>[]): void {
    const plain = this.convert(value, [...path, "<<"]);
    for (const source of Array.isArray(plain) ? plain : [plain]) {
      if (isRecord(source)) into.push(source);
      else if (value !== null) {
        const issue: Issue = {
          severity: "error",
          path,
          message: "'<<' merges maps, and this is none",
          hint: "merge an alias of a map",
        };
        this.findings.push({ node: value, issue });
      }
    }
  }
}

/** Sets an own property even when it is called __proto__. */
export function define(record: Record<string, unknown>, name: string, value: unknown): void {
  if (name === "__proto__")
    Object.defineProperty(record, name, { value, enumerable: true, configurable: true, writable: true });
  else record[name] = value;
}

/**
 * An empty value (`env:`) is an absent field, as in the API server. One exception: the API server makes a
 * volume whose source is empty an emptyDir, whatever the source; that is never meant.
 */
function dropEmpty(record: Record<string, unknown>, path: FieldPath, node: YAMLMap.Parsed, findings: Finding[]): void {
  const inVolume = path.at(-2) === "volumes" && typeof path.at(-1) === "number";
  for (const [name, value] of Object.entries(record)) {
    if (value !== null) continue;
    delete record[name];
    if (!inVolume || name === "emptyDir" || name === "name") continue;
    const issue: Issue = {
      severity: "error",
      path: [...path, name],
      message: `the volume source ${name} is empty`,
      hint: "say what to mount",
    };
    findings.push({ node, issue });
  }
}

/** True for a plain object. */
export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
