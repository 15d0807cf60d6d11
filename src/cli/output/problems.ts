import type { ProblemReport } from "../../api/contract.ts";
import type { Problem } from "../../manifest/index.ts";
import type { Colors } from "./color.ts";
import { count, oneLine } from "./text.ts";

/** "web.yaml:3:5": where the problem is, as editors and terminals understand it. */
export function placeOf({ place }: Problem): string {
  return `${place.file}:${place.line}:${place.column}`;
}

/** A problem with its hint below it, each line indented by `indent`. */
export function problemLines(problem: Problem, colors: Colors, indent = ""): string[] {
  const paint = problem.severity === "error" ? colors.red : colors.yellow;
  const field = problem.field === "" ? "" : `${problem.field}: `;
  const lines = [
    `${indent}${oneLine(placeOf(problem))}: ${paint(`${problem.severity}:`)} ${oneLine(field + problem.message)}`,
  ];
  if (problem.hint !== undefined) lines.push(`${indent}  ${colors.cyan("hint:")} ${oneLine(problem.hint)}`);
  return lines;
}

/** More than this many of one file would bury the table and the other files. */
const SHOWN_PER_FILE = 3;

/** The first few problems of each file, and how many more it has. */
function inShort(problems: readonly Problem[], colors: Colors): string[] {
  const byFile = Map.groupBy(problems, ({ place }) => place.file);
  return [...byFile].flatMap(([file, all]) => {
    // One more takes no more room than saying so.
    const shown = all.length === SHOWN_PER_FILE + 1 ? all : all.slice(0, SHOWN_PER_FILE);
    const lines = shown.flatMap((problem) => problemLines(problem, colors, "  "));
    if (shown.length === all.length) return lines;
    return [...lines, `  ${oneLine(file)}: ${all.length - shown.length} more: gantry validate ${oneLine(file)}`];
  });
}

/** What stands below the table of pods: broken manifests, sources that hold, and how many warnings there are. */
export function problemSection(report: ProblemReport, colors: Colors): string[] {
  const broken = report.problems.filter((problem) => problem.severity === "error");
  const warnings = report.problems.length - broken.length;
  const sections: string[][] = [];
  if (broken.length > 0) {
    sections.push([
      colors.bold(`${count(broken.length, "manifest error")} (what runs stays as it is):`),
      ...inShort(broken, colors),
    ]);
  }
  if (report.held.length > 0) {
    sections.push([colors.bold("Held as it is:"), ...report.held.map((text) => `  ${colors.yellow(oneLine(text))}`)]);
  }
  const troubles = report.troubles ?? [];
  if (troubles.length > 0) {
    sections.push([colors.bold("On this host:"), ...troubles.map((text) => `  ${colors.yellow(oneLine(text))}`)]);
  }
  if (warnings > 0)
    sections.push([`${count(warnings, "warning")}: 'gantry validate' shows them, 'gantry describe' those of a pod.`]);
  return sections.flatMap((section, index) => (index === 0 ? section : ["", ...section]));
}
