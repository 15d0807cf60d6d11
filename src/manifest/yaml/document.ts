/** Text to documents of plain data that can still say where each field stands. */
import {
  type Document,
  type DocumentOptions,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  type ParsedNode,
  type ParseOptions,
  parseAllDocuments,
  type ScalarTag,
  type SchemaOptions,
  visit,
  type YAMLError,
} from "yaml";
import { messageOf } from "../../system/errors.ts";
import type { FieldPath, Issue } from "../issue.ts";
import { excessIn } from "./excess.ts";
import { PlainConverter, TOO_MANY_VALUES, UnusableDocument } from "./plain.ts";

/** Line and column count from 1. */
export interface Position {
  readonly line: number;
  readonly column: number;
}

export interface LocatedIssue extends Position {
  readonly issue: Issue;
}

export interface PlainDocument {
  readonly value: unknown;
  /** One of the issues is about this document. */
  readonly broken: boolean;
  /** Offsets in the text: from the `---`, or the first field, to the end. */
  readonly start: number;
  readonly end: number;
  /** It begins with `---`. */
  readonly marked: boolean;
  /** Where the field stands, or the nearest field around it that is there. */
  locate(path: FieldPath, atKey?: boolean): Position;
}

export interface Documents {
  readonly documents: readonly PlainDocument[];
  readonly issues: readonly LocatedIssue[];
}

/**
 * `defaultMode: 0644` is octal for kubectl, whose YAML is 1.1 there; read as decimal it would silently be
 * another mode. Everything else is YAML 1.2 core.
 */
const leadingZeroOctal: ScalarTag = {
  identify: () => false,
  default: true,
  tag: "tag:yaml.org,2002:int",
  test: /^[-+]?0[0-7]+$/,
  resolve: (text) => Number.parseInt(text, 8),
};

/** How every part of Gantry reads YAML. Duplicate keys are looked for in plain.ts, which does it in linear time. */
export const YAML_OPTIONS: ParseOptions & DocumentOptions & SchemaOptions = {
  version: "1.2",
  schema: "core",
  customTags: (tags) => [leadingZeroOctal, ...tags],
  prettyErrors: false,
  stringKeys: true,
  uniqueKeys: false,
  resolveKnownTags: false,
  logLevel: "silent",
};

/** Never throws: whatever is wrong with the text is in `issues`. */
export function readDocuments(text: string): Documents {
  const lineCounter = new LineCounter();
  const at = (offset: number): Position => {
    const { line, col } = lineCounter.linePos(Math.min(Math.max(offset, 0), text.length));
    return { line: Math.max(line, 1), column: Math.max(col, 1) };
  };
  const issues: LocatedIssue[] = [];
  const documents: PlainDocument[] = [];
  const fail = (offset: number, message: string, hint: string) =>
    issues.push({ ...at(offset), issue: { severity: "error", path: [], message, hint } });
  const excess = excessIn(text);
  if (excess !== undefined) {
    // Nobody has parsed it, so nobody has counted its lines.
    for (let start = 0; start <= excess; start = text.indexOf("\n", start) + 1) {
      lineCounter.addNewLine(start);
      if (!text.includes("\n", start)) break;
    }
    fail(excess, TOO_MANY_VALUES, "no manifest needs that: split the file");
    return { documents, issues };
  }
  let parsed: readonly Document.Parsed[];
  try {
    const found = parseAllDocuments(text, { ...YAML_OPTIONS, lineCounter });
    parsed = "empty" in found ? [] : found;
  } catch (error) {
    fail(0, `the file can't be parsed: ${messageOf(error)}`, "check its structure");
    return { documents, issues };
  }
  for (const document of parsed) {
    // Further errors in a document are mostly consequences of the first.
    const [error] = [...document.errors, ...document.warnings.filter(({ code }) => code === "TAG_RESOLVE_FAILED")];
    if (error !== undefined) {
      const { message, hint } = describe(error);
      fail(unclosedQuote(document, error) ?? error.pos[0], message, hint);
      continue;
    }
    if (document.contents === null || (isScalar(document.contents) && document.contents.value === null)) continue;
    const converter = new PlainConverter();
    try {
      const value = converter.convert(document.contents);
      const locate = (path: FieldPath, atKey = false) => at(offsetOf(document.contents, path, atKey, converter));
      const [start, end] = document.range;
      documents.push({
        value,
        broken: converter.findings.length > 0,
        start,
        end,
        marked: text.startsWith("---", start),
        locate,
      });
    } catch (thrown) {
      if (!(thrown instanceof UnusableDocument)) throw thrown;
      converter.findings.push(thrown.finding);
    }
    for (const { node, issue } of converter.findings) issues.push({ ...at(node.range[0]), issue });
  }
  return { documents, issues };
}

const HINTS: Readonly<Record<string, string>> = {
  TAB_AS_INDENT: "indent with spaces; YAML does not allow tabs there",
  BAD_INDENT: "line up the fields of one object at the same column",
  MISSING_CHAR: "something is cut off or not closed here",
  NON_STRING_KEY: "put quotes around it if it is the name of a field; {{ }} templates must be rendered first",
  BAD_ALIAS: "an alias (*name) needs an anchor (&name) before it",
  TAG_RESOLVE_FAILED: "remove the tag",
  RESOURCE_EXHAUSTION: "it is nested too deeply; no manifest needs that",
};

/** Where the library's own words, or what they are about, would lead astray. */
const REWORDED: readonly (readonly [RegExp, { readonly message?: string; readonly hint: string }])[] = [
  [
    /^With stringKeys/,
    { message: "a key must be a text, not a list or an object", hint: HINTS["NON_STRING_KEY"] ?? "" },
  ],
  [
    /^Nested mappings are not allowed/,
    { hint: "put quotes around a text that has ': ' in it, and check the indentation" },
  ],
  [/^Sequence item without -/, { hint: "line it up with the fields of the entry above, or begin an entry with '- '" }],
  [/^Flow (sequence|map) /, { hint: "close it with ] or }, or indent what is in it" }],
  [
    /^Missing closing /,
    { message: "the quote that begins here is not closed", hint: "close it at the end of the text" },
  ],
  [/^Plain value cannot start/, { hint: "put quotes around it" }],
];

/** The library's message as the rest of a sentence, on one line, and what to do. */
function describe({ code, message }: YAMLError): { readonly message: string; readonly hint: string } {
  const line = message.split("\n", 1)[0] ?? message;
  const reworded = REWORDED.find(([pattern]) => pattern.test(line))?.[1];
  return {
    message: `not valid YAML: ${reworded?.message ?? line}`,
    hint: reworded?.hint ?? HINTS[code] ?? "check the indentation and the quotes around here",
  };
}

/** Where a quote begins that is not closed: the error itself is at the end of the file. */
function unclosedQuote(document: Document.Parsed, error: YAMLError): number | undefined {
  if (!error.message.startsWith("Missing closing")) return undefined;
  let start: number | undefined;
  visit(document, {
    Scalar(_key, { type, range }) {
      const quoted = type === "QUOTE_DOUBLE" || type === "QUOTE_SINGLE";
      if (quoted && range && range[0] < error.pos[0]) start = Math.max(start ?? 0, range[0]);
    },
  });
  return start;
}

function offsetOf(root: ParsedNode | null, path: FieldPath, atKey: boolean, converter: PlainConverter): number {
  let node = root;
  let offset = root?.range[0] ?? 0;
  for (const [index, part] of path.entries()) {
    if (isAlias(node)) node = converter.target(node) ?? null;
    if (isMap<ParsedNode, ParsedNode | null>(node)) {
      const pair = node.items.find((item) => isScalar(item.key) && String(item.key.value) === part);
      if (pair === undefined) return offset;
      const last = index === path.length - 1;
      node = pair.value;
      offset = (last && atKey) || node === null ? pair.key.range[0] : node.range[0];
    } else if (isSeq<ParsedNode>(node) && typeof part === "number") {
      const item: ParsedNode | undefined = node.items[part];
      if (item === undefined) return offset;
      node = item;
      offset = item.range[0];
    } else return offset;
  }
  return offset;
}
