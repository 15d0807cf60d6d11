/** Changes the tree of a YAML document from one value to another, keeping the comments of what stays. */

import { isDeepStrictEqual } from "node:util";
import { type Document, isMap, isScalar, isSeq, type Node, type Pair } from "yaml";
import { isRecord } from "../manifest/yaml/plain.ts";
import { align } from "./carry-over.ts";

/** @param before the value that `node` stands for @returns the node that stands for `after`; the same one where it can be */
export function editTree(document: Document, node: unknown, before: unknown, after: unknown): unknown {
  if (isDeepStrictEqual(before, after)) return node;
  if (isMap(node) && isRecord(before) && isRecord(after)) {
    // `<<` brings in fields that stand elsewhere: those can't be taken out here.
    if (node.items.some(({ key }) => isScalar(key) && key.value === "<<")) return document.createNode(after);
    node.items = node.items.filter((pair) => Object.hasOwn(after, nameOf(pair)));
    for (const [name, value] of Object.entries(after)) {
      const pair = node.items.find((candidate) => nameOf(candidate) === name);
      if (pair === undefined) node.items.push(document.createPair(name, value));
      else pair.value = editTree(document, pair.value, before[name], value);
    }
    if (node.items.length > 0 && Object.keys(before).length === 0) node.flow = false;
    return node;
  }
  if (isSeq(node) && Array.isArray(before) && Array.isArray(after)) {
    const { items } = node;
    node.items = align(before, after).map((place, index) =>
      place === undefined
        ? document.createNode(after[index])
        : editTree(document, items[place], before[place], after[index]),
    );
    if (node.items.length > 0 && before.length === 0) node.flow = false;
    return node;
  }
  if (isScalar(node) && (typeof after !== "object" || after === null)) {
    node.value = after;
    // Written as its new value asks for: 0x10 or 1e3 was the form of the old one.
    delete node.source;
    delete node.format;
    return node;
  }
  return keepingComment(node, document.createNode(after));
}

function nameOf({ key }: Pair<unknown, unknown>): string {
  return String(isScalar(key) ? key.value : key);
}

function keepingComment(old: unknown, fresh: Node): Node {
  if (isScalar(old) || isMap(old) || isSeq(old)) {
    if (old.commentBefore != null) fresh.commentBefore = old.commentBefore;
    if (isScalar(fresh) && old.comment != null) fresh.comment = old.comment;
  }
  return fresh;
}
