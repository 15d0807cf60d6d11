/** Changes one object in the text of a manifest file and leaves everything else as it is, comments too. Pure. */
import { isDeepStrictEqual } from "node:util";
import {
  type Document,
  isMap,
  isSeq,
  type ParsedNode,
  parseAllDocuments,
  parseDocument,
  type ToStringOptions,
  stringify as yaml,
} from "yaml";
import { type PlainDocument, readDocuments, YAML_OPTIONS } from "../manifest/yaml/document.ts";
import { isRecord } from "../manifest/yaml/plain.ts";
import { editTree } from "./edit-tree.ts";

/** Names an object in plain data, whether or not it is valid. */
export interface ObjectId {
  readonly kind: string;
  /** undefined for kinds without namespaces. */
  readonly namespace: string | undefined;
  readonly name: string;
}

/** Where an object stands in a text: its document, and its place in that document's List. */
export interface Found {
  readonly document: number;
  readonly item: number | undefined;
  readonly value: unknown;
}

/** Whether plain data is the object; a missing namespace is "default". */
export function isObject(value: unknown, id: ObjectId): boolean {
  if (!isRecord(value) || value["kind"] !== id.kind || !isRecord(value["metadata"])) return false;
  const { name, namespace } = value["metadata"];
  return name === id.name && (id.namespace === undefined || (namespace ?? "default") === id.namespace);
}

/** All places where the object stands. */
export function find(text: string, id: ObjectId): Found[] {
  return readDocuments(text).documents.flatMap((document, index) =>
    objectsOf(document, index).filter((found) => isObject(found.value, id)),
  );
}

/** Everything that stands in the text, the items of Lists one by one. */
export function objectsIn(text: string): Found[] {
  return readDocuments(text).documents.flatMap(objectsOf);
}

function objectsOf(document: PlainDocument, index: number): Found[] {
  const { value } = document;
  if (isRecord(value) && value["kind"] === "List" && Array.isArray(value["items"])) {
    return value["items"].map((item: unknown, position) => ({ document: index, item: position, value: item }));
  }
  return [{ document: index, item: undefined, value }];
}

/** An object to put into a file: its data, and the text that it was given as. */
export interface Replacement {
  readonly value: unknown;
  /** YAML; undefined when it came out of a List. */
  readonly text: string | undefined;
}

/** The text with the object at `at` replaced. */
export function replace(text: string, at: Found, replacement: Replacement, json: boolean): string {
  if (at.item !== undefined) return editList(text, at, json, replacement);
  if (json) return jsonText(replacement.value);
  const document = documentAt(text, at);
  const start = document.marked ? document.start + 3 : document.start;
  const before = text.slice(0, start);
  return `${before}${document.marked ? "\n" : ""}${yamlText(replacement)}${text.slice(document.end)}`;
}

/** A field of an object by its path; null or undefined takes it out. */
export interface FieldEdit {
  readonly path: readonly (string | number)[];
  readonly value: unknown;
}

/** The text with some fields of the object at `at` changed; comments and order stay. */
export function editFields(text: string, at: Found, edits: readonly FieldEdit[], json: boolean): string {
  const base = at.item === undefined ? [] : ["items", at.item];
  if (json) {
    const value: unknown = JSON.parse(text);
    const document = parseDocument(JSON.stringify(value), YAML_OPTIONS);
    for (const { path, value } of edits) setField(document, [...base, ...path], value);
    return jsonText(document.toJS());
  }
  const place = documentAt(text, at);
  const document = parseDocument(text.slice(place.marked ? place.start + 3 : place.start, place.end), YAML_OPTIONS);
  for (const { path, value } of edits) setField(document, [...base, ...path], value);
  const edited = document.toString({ lineWidth: 0 });
  const before = place.marked ? `${text.slice(0, place.start)}---\n` : text.slice(0, place.start);
  return `${before}${edited}${text.slice(place.end)}`;
}

/** The text with the object at `at` turned into `value`; comments and order of what stays are kept. */
export function editObject(text: string, at: Found, value: unknown, json: boolean): string {
  const place = documentAt(text, at);
  if (json || !isRecord(place.value)) return replace(text, at, { value, text: undefined }, json);
  const document = parseDocument(text.slice(place.marked ? place.start + 3 : place.start, place.end), YAML_OPTIONS);
  const whole = at.item === undefined ? value : withItem(place.value, at.item, value);
  try {
    const root = editTree(document, document.contents, place.value, whole);
    if (root !== document.contents) return replace(text, at, { value, text: undefined }, json);
    const edited = document.toString(styleOf(text));
    const before = place.marked ? `${text.slice(0, place.start)}---\n` : text.slice(0, place.start);
    const result = `${before}${edited.replace(/^---\n/, "")}${text.slice(place.end)}`;
    if (isDeepStrictEqual(readDocuments(result).documents[at.document]?.value, whole)) return result;
  } catch {
    // An anchor went with what it stood at, for example.
  }
  return replace(text, at, { value, text: undefined }, json);
}

function withItem(list: Readonly<Record<string, unknown>>, item: number, value: unknown): Record<string, unknown> {
  const items: unknown[] = Array.isArray(list["items"]) ? [...list["items"]] : [];
  items[item] = value;
  return { ...list, items };
}

/** Lists are indented as they are in the rest of the text. */
function styleOf(text: string): ToStringOptions {
  return { lineWidth: 0, indentSeq: !/^( *)[^\s#-][^\n]*:[ \t]*\n\1- /m.test(text) };
}

function setField(document: Document, path: readonly (string | number)[], value: unknown): void {
  if (value === undefined || value === null) document.deleteIn(path);
  else if (typeof value !== "object")
    document.setIn(path, value); // keeps the comment beside it
  else document.setIn(path, document.createNode(value));
}

/** The text with the object at `at` taken out, or undefined when nothing else is in it. */
export function remove(text: string, at: Found, json: boolean): string | undefined {
  const all = objectsIn(text);
  if (all.length <= 1 && readDocuments(text).issues.length === 0) return undefined;
  const siblings = all.filter((found) => found.document === at.document);
  if (at.item !== undefined && siblings.length > 1) return editList(text, at, json, undefined);
  const document = documentAt(text, at);
  const start = document.marked ? document.start : commentStart(text, document.start);
  return text.slice(0, start) + text.slice(document.end);
}

/** The text with one more document at its end. */
export function append(text: string, replacement: Replacement): string {
  const before = text === "" || text.endsWith("\n") ? text : `${text}\n`;
  return `${before}${text.trim() === "" ? "" : "---\n"}${yamlText(replacement)}`;
}

/** A new file with the object alone. */
export function fresh(replacement: Replacement, json: boolean): string {
  return json ? jsonText(replacement.value) : yamlText(replacement);
}

/** The text of one document as it can stand in another file: without its `---`. */
export function bodyOf(text: string, document: PlainDocument): string {
  const body = document.marked
    ? text.slice(document.start + 3, document.end)
    : text.slice(commentStart(text, document.start), document.end);
  return `${body.replace(/^[ \t]*\r?\n/, "").trimEnd()}\n`;
}

function documentAt(text: string, at: Found): PlainDocument {
  const document = readDocuments(text).documents[at.document];
  if (document === undefined) throw new RangeError(`no document ${at.document}`);
  return document;
}

/** Where the comment begins that stands directly above a document without `---`. */
function commentStart(text: string, start: number): number {
  let from = text.lastIndexOf("\n", start - 1) + 1;
  while (from > 0) {
    const line = text.lastIndexOf("\n", from - 2) + 1;
    if (!/^\s*#/.test(text.slice(line, from))) break;
    from = line;
  }
  return from;
}

function yamlText(replacement: Replacement): string {
  return replacement.text ?? stringify(replacement.value);
}

/** Quotes what an older YAML reader, such as kubectl's, would take for something else than a string. */
function stringify(value: unknown): string {
  return yaml(value, { ...YAML_OPTIONS, lineWidth: 0, compat: "yaml-1.1" });
}

/** The YAML of an object that a client has made, in the order that people write it. */
export function newText(value: unknown): string {
  return stringify(inOrder(value));
}

const FIRST = ["apiVersion", "kind", "metadata", "name", "namespace", "labels", "annotations", "type", "image"];

function inOrder(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(inOrder);
  if (!isRecord(value)) return value;
  const names = [...FIRST.filter((name) => Object.hasOwn(value, name)), ...Object.keys(value)];
  return Object.fromEntries([...new Set(names)].map((name) => [name, inOrder(value[name])]));
}

function jsonText(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}

/** Changes one item of a List: as text where it stands in a block of its own, else by writing the List anew. */
function editList(text: string, at: Found, json: boolean, replacement: Replacement | undefined): string {
  const { item } = at;
  const document = documentAt(text, at);
  const { value } = document;
  if (item === undefined || !isRecord(value) || !Array.isArray(value["items"])) throw new RangeError("no List");
  const tree = parsed(text).find((candidate) => candidate.range[0] === document.start);
  const list = tree?.get("items");
  const node = isSeq<ParsedNode>(list) && list.flow !== true ? list.items[item] : undefined;
  if (!json && isMap(node) && node.flow !== true) return spliceItem(text, node.range, replacement);
  const items: unknown[] = [...value["items"]];
  items.splice(item, 1, ...(replacement === undefined ? [] : [replacement.value]));
  if (json) return jsonText({ ...value, items });
  return `${text.slice(0, document.start)}${document.marked ? "---\n" : ""}${stringify({ ...value, items })}${text.slice(document.end)}`;
}

/** `range`: of the item's value, which begins behind its "- ". */
function spliceItem(
  text: string,
  [start, end]: readonly [number, number, number],
  replacement: Replacement | undefined,
): string {
  if (replacement === undefined) return text.slice(0, commentStart(text, start)) + text.slice(end);
  const indent = " ".repeat(start - text.lastIndexOf("\n", start - 1) - 1);
  const lines = stringify(replacement.value)
    .trimEnd()
    .replaceAll(/\n(?!\n)/g, `\n${indent}`);
  return `${text.slice(0, start)}${lines}\n${text.slice(end)}`;
}

function parsed(text: string): readonly Document.Parsed[] {
  const found = parseAllDocuments(text, YAML_OPTIONS);
  return "empty" in found ? [] : found;
}
