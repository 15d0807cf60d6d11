/** Text of a manifest file to validated objects and problems. Never throws. */
import type { LoadedObject, ManifestObject, ParseResult, Place, Problem } from "./contract.ts";
import { isOfCluster } from "./foreign-kinds.ts";
import { type FieldPath, fieldName, type Issue, TOLD_ISSUES } from "./issue.ts";
import { kindOf } from "./kinds.ts";
import { placesOf } from "./places.ts";
import { byPosition } from "./problem.ts";
import { cleaned, finished } from "./server-fields.ts";
import { supportIssues } from "./support/index.ts";
import { validate } from "./validate/index.ts";
import { DEFAULT_SIZE_LIMIT, decode, tooLarge } from "./yaml/decode.ts";
import { type PlainDocument, type Position, readDocuments } from "./yaml/document.ts";
import { isRecord } from "./yaml/plain.ts";
import { issuesOf } from "./zod-issues.ts";

export interface ParseOptions {
  /** Bytes. */
  readonly sizeLimit?: number;
}

/** Parses the bytes of one file. `file` is only used to name it in places. */
export function parseManifest(file: string, bytes: Uint8Array, options: ParseOptions = {}): ParseResult {
  const limit = options.sizeLimit ?? DEFAULT_SIZE_LIMIT;
  if (bytes.length > limit) return oversized(file, bytes.length, limit);
  const decoded = decode(bytes);
  if ("text" in decoded) return parseManifestText(file, decoded.text);
  return { objects: [], problems: [problemAt(file, decoded, decoded.issue, undefined)] };
}

/** What a file of `size` bytes gives that is larger than `limit`, without reading it. */
export function oversized(file: string, size: number, limit: number = DEFAULT_SIZE_LIMIT): ParseResult {
  return { objects: [], problems: [problemAt(file, { line: 1, column: 1 }, tooLarge(size, limit).issue, undefined)] };
}

/** Parses the text of one file: YAML or JSON, one document or several, or a List of objects. */
export function parseManifestText(file: string, text: string): ParseResult {
  const { documents, issues } = readDocuments(text);
  const problems: Problem[] = issues.map(({ issue, line, column }) =>
    problemAt(file, { line, column }, issue, undefined),
  );
  const objects: LoadedObject[] = [];
  for (const document of documents) {
    for (const part of partsOf(document)) {
      if ("issue" in part)
        problems.push(problemAt(file, document.locate(part.issue.path, part.issue.atKey), part.issue, undefined));
      else readObject(file, document, part.path, part.value, objects, problems);
    }
  }
  return { objects, problems: byPosition(problems) };
}

type Part = { readonly path: FieldPath; readonly value: unknown } | { readonly issue: Issue };

/** The objects of a document: itself, or the items of a List. */
function partsOf(document: PlainDocument): Part[] {
  const { value } = document;
  if (!isRecord(value) || kindOf(value).type !== "list") return [{ path: [], value }];
  const parts: Part[] = [];
  for (const name of Object.keys(value)) {
    if (["apiVersion", "kind", "metadata", "items"].includes(name)) continue;
    parts.push({
      issue: {
        severity: "error",
        path: [name],
        message: `unknown field '${name}'`,
        hint: "a List has items",
        atKey: true,
      },
    });
  }
  const { items } = value;
  if (!Array.isArray(items)) {
    parts.push({ issue: { severity: "error", path: ["items"], message: "a List needs items, a list of objects" } });
    return parts;
  }
  parts.push(...items.map((item, index) => ({ path: ["items", index], value: item })));
  return parts;
}

function readObject(
  file: string,
  document: PlainDocument,
  base: FieldPath,
  value: unknown,
  objects: LoadedObject[],
  problems: Problem[],
): void {
  const name = objectName(value);
  const { object, issues } = check(value);
  const found = told(issues).map((issue) => {
    const at = document.locate([...base, ...issue.path], issue.atKey);
    return problemAt(file, at, { ...issue, path: [...base, ...issue.path] }, name);
  });
  problems.push(...found);
  if (object === undefined || document.broken) return;
  const warnings = found.filter((problem) => problem.severity === "warning");
  const locate = (path: FieldPath): Place => ({ file, ...document.locate([...base, ...path]) });
  objects.push({
    object,
    place: locate([]),
    places: placesOf(object, locate),
    warnings,
    stale: false,
    ...writtenOf(object, value),
  });
}

/** The first errors and warnings of an object, and how many more there are of each. */
function told(issues: readonly Issue[]): Issue[] {
  return (["error", "warning"] as const).flatMap((severity) => {
    const all = issues.filter((issue) => issue.severity === severity);
    const more = all.length - TOLD_ISSUES;
    const last: Issue = { severity, path: [], message: `and ${more} ${severity}${more === 1 ? "" : "s"} more in it` };
    return more > 0 ? [...all.slice(0, TOLD_ISSUES), last] : all;
  });
}

/** What a roll-back puts back into the file is what was written there, without defaults. */
function writtenOf({ kind }: ManifestObject, value: unknown): { written?: unknown } {
  return kind === "Deployment" || kind === "DaemonSet" || kind === "StatefulSet" ? { written: value } : {};
}

/**
 * One object of plain data, as the API server would take it: validated, with defaults. The object is
 * undefined when any issue is an error.
 */
export function check(value: unknown): {
  readonly object: ManifestObject | undefined;
  readonly issues: readonly Issue[];
} {
  const kind = kindOf(value);
  if (kind.type === "wrong") return { object: undefined, issues: [kind.issue] };
  if (kind.type === "list") {
    return {
      object: undefined,
      issues: [{ severity: "error", path: ["kind"], message: "a List may not hold a List" }],
    };
  }
  const { value: clean, issues } = cleaned(value);
  const parsed = kind.schema.safeParse(clean);
  if (!parsed.success) {
    const all = [...issuesOf(parsed.error, kind.schema, clean), ...issues];
    return { object: undefined, issues: isSecret(value) ? all.map(withoutValue) : all };
  }
  const wrong = validate(parsed.data);
  // What is wrong anyhow need not be said to be unsupported, too.
  const said = new Set(wrong.map(({ path }) => fieldName(path)));
  const unsupported = supportIssues(parsed.data.kind, clean).filter(({ path }) => !said.has(fieldName(path)));
  const all = [...(kind.issue === undefined ? [] : [kind.issue]), ...wrong, ...unsupported, ...issues];
  const object = all.some((issue) => issue.severity === "error") ? undefined : finished(parsed.data);
  return { object, issues: all };
}

function isSecret(value: unknown): boolean {
  return isRecord(value) && value["kind"] === "Secret";
}

/** Issues about a Secret's data never show what the value is. */
function withoutValue(issue: Issue): Issue {
  const [field] = issue.path;
  if ((field !== "data" && field !== "stringData") || issue.atKey === true) return issue;
  const message =
    field === "data" && issue.path.length === 2 ? "the value must be a string in base64" : "the value must be a string";
  const hint = field === "data" ? "encode it with base64, or write it as it is under stringData" : "put it in quotes";
  return { ...issue, message: issue.path.length < 2 ? "must be an object" : message, hint };
}

/** "Pod default/web", as far as it can be told. */
function objectName(value: unknown): string | undefined {
  if (!isRecord(value) || typeof value["kind"] !== "string" || !isRecord(value["metadata"])) return undefined;
  const { name, namespace } = value["metadata"];
  if (typeof name !== "string") return undefined;
  const where = typeof namespace === "string" ? namespace : "default";
  return isOfCluster(value["kind"]) ? `${value["kind"]} ${name}` : `${value["kind"]} ${where}/${name}`;
}

function problemAt(file: string, at: Position, issue: Issue, object: string | undefined): Problem {
  return {
    severity: issue.severity,
    place: { file, line: at.line, column: at.column },
    field: fieldName(issue.path),
    message: issue.message,
    hint: issue.hint,
    object,
  };
}
