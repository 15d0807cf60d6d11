/** Problems in the forms that CI systems show beside the changed lines. Pure. */
import { createHash } from "node:crypto";
import type { Problem } from "../../manifest/index.ts";
import type { OutputFormat } from "../spec.ts";

export type FindingsFormat = Extract<OutputFormat, "sarif" | "github" | "gitlab">;

export function isFindingsFormat(format: OutputFormat): format is FindingsFormat {
  return format === "sarif" || format === "github" || format === "gitlab";
}

/** @returns the text to print, with its last newline; "" when there is nothing to say */
export function findings(format: FindingsFormat, problems: readonly Problem[], version: string): string {
  switch (format) {
    case "sarif":
      return `${JSON.stringify(sarif(problems, version), null, 2)}\n`;
    case "github":
      return problems.map((problem) => `${annotation(problem)}\n`).join("");
    case "gitlab":
      return `${JSON.stringify(codeQuality(problems), null, 2)}\n`;
  }
}

/** SARIF 2.1.0 (OASIS), with what GitHub's code scanning reads of it. */
function sarif(problems: readonly Problem[], version: string): unknown {
  const rules = [
    { id: "manifest-error", shortDescription: { text: "The manifest can't be run as it is written." } },
    { id: "manifest-warning", shortDescription: { text: "The manifest runs, but perhaps not as it was meant." } },
  ];
  return {
    $schema: "https://json.schemastore.org/sarif-2.1.0.json",
    version: "2.1.0",
    runs: [
      {
        tool: { driver: { name: "Gantry", semanticVersion: version, rules } },
        columnKind: "utf16CodeUnits",
        results: problems.map((problem) => ({
          ruleId: `manifest-${problem.severity}`,
          level: problem.severity,
          message: { text: messageOf(problem) },
          locations: [
            {
              physicalLocation: {
                artifactLocation: { uri: uriOf(problem.place.file) },
                region: { startLine: problem.place.line, startColumn: problem.place.column },
              },
              ...(problem.object !== undefined && { logicalLocations: [{ fullyQualifiedName: problem.object }] }),
            },
          ],
          partialFingerprints: { "gantry/v1": fingerprint(problem) },
        })),
      },
    ],
  };
}

/** A workflow command of GitHub Actions. */
function annotation(problem: Problem): string {
  const { file, line, column } = problem.place;
  const title = problem.object === undefined ? "" : `,title=${property(problem.object)}`;
  return `::${problem.severity} file=${property(file)},line=${line},col=${column}${title}::${data(messageOf(problem))}`;
}

/** As GitHub's own toolkit escapes them: otherwise a message could end the command, or begin one. */
function data(text: string): string {
  return text.replaceAll("%", "%25").replaceAll("\r", "%0D").replaceAll("\n", "%0A");
}

function property(text: string): string {
  return data(text).replaceAll(":", "%3A").replaceAll(",", "%2C");
}

/** GitLab's code quality report, a part of Code Climate's. */
function codeQuality(problems: readonly Problem[]): unknown {
  return problems.map((problem) => ({
    description: messageOf(problem),
    check_name: `manifest-${problem.severity}`,
    fingerprint: fingerprint(problem),
    severity: problem.severity === "error" ? "major" : "minor",
    location: { path: problem.place.file.replace(/^\.\//, ""), lines: { begin: problem.place.line } },
  }));
}

function messageOf({ field, message, hint }: Problem): string {
  return `${field === "" ? "" : `${field}: `}${message}${hint === undefined ? "" : ` (${hint})`}`;
}

/** Stays the same when lines are put in above. */
function fingerprint({ place, object, field, message }: Problem): string {
  return createHash("sha256")
    .update(JSON.stringify([place.file, object ?? "", field, message]))
    .digest("hex")
    .slice(0, 32);
}

function uriOf(path: string): string {
  const encoded = path.split("/").map(encodeURIComponent).join("/");
  return path.startsWith("/") ? `file://${encoded}` : encoded.replace(/^(\.\/)+/, "");
}
