/** The page of README.md that says what becomes of every field of a Pod. Pure. */
import { type Coverage, coverage, leaves } from "./fields.ts";

export const COMMAND = "npm run coverage-page";
const BEGIN = `<!-- coverage: written by '${COMMAND}' from the schema and the support table -->`;
const END = "<!-- coverage ends -->";

/** README.md with the page as it should be. @throws Error when its marks are not there */
export function withPage(readme: string): string {
  const begin = readme.indexOf(BEGIN);
  const end = readme.indexOf(END);
  if (begin < 0 || end < begin) throw new Error(`README.md lacks the lines ${BEGIN} and ${END}`);
  return `${readme.slice(0, begin)}${BEGIN}\n${page()}${readme.slice(end)}`;
}

function page(): string {
  const rows = coverage();
  const fields = leaves();
  const count = (runtimeClass: "namespace" | "microvm", ...states: string[]): number =>
    fields.filter((field) => {
      const state = rows.find((row) => covers(row, field))?.[runtimeClass] ?? "";
      return states.some((one) => (one.endsWith(":") ? state.includes(one) : state === one));
    }).length;
  return [
    `Of the ${fields.length} fields of a v1 Pod, ${count("namespace", "supported", "supported:")} are supported in \`namespace\` and ` +
      `${count("microvm", "supported", "supported:", "refused:")} in \`microvm\``,
    `(of ${count("namespace", "supported:")} and ${count("microvm", "supported:", "refused:")} only some values); ` +
      `${count("namespace", "warning")}, about other nodes and the API server, are accepted with a warning;`,
    `${count("namespace", "refused")}, most of them of volumes of storage systems, are refused by name.`,
    "",
    `<details><summary>All of them, by runtime class</summary>`,
    "",
    "`.*` stands for all the fields in it.",
    "",
    "| field | namespace | microvm | why |",
    "| --- | --- | --- | --- |",
    ...shown(rows).map(line),
    "",
    "</details>",
    "",
  ].join("\n");
}

/** True when the row says what becomes of the field, which has no fields in it. */
export function covers(row: Coverage, field: string): boolean {
  if (row.field === field || row.field === field.replace(/\[\]$/, "")) return true;
  return row.whole && (field.startsWith(`${row.field}.`) || field.startsWith(`${row.field}[]`));
}

const INIT = "spec.initContainers[]";
const APP = "spec.containers[]";

/** Of init containers only that in which they differ from the others. */
function shown(rows: readonly Coverage[]): Coverage[] {
  const apps = new Map(rows.filter(({ field }) => field.startsWith(APP)).map((row) => [row.field, row]));
  const differs = (row: Coverage): boolean => {
    const app = apps.get(row.field.replace(INIT, APP));
    return app === undefined || app.namespace !== row.namespace || app.microvm !== row.microvm;
  };
  const kept = rows.filter((row) => !row.field.startsWith(INIT) || differs(row));
  const at = rows.findIndex(({ field }) => field.startsWith(INIT));
  const before = kept.filter((row) => rows.indexOf(row) < at);
  const why = `as those of ${APP}, but for what is listed here`;
  const same: Coverage = { field: INIT, whole: true, namespace: "–", microvm: "–", why };
  return [...before, same, ...kept.slice(before.length)];
}

function line({ field, whole, namespace, microvm, why }: Coverage): string {
  return `| ${[`\`${field}${whole ? ".*" : ""}\``, namespace, microvm, why].map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
}
