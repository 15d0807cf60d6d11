import { oneLine } from "./text.ts";

/** Colours a cell after it was padded, so that widths are those of the plain text. */
export type Paint = (text: string) => string;

export interface Cell {
  readonly text: string;
  readonly paint?: Paint;
}

export type Row = readonly (string | Cell)[];

const GAP = "   ";

/**
 * Left-aligned columns, three spaces apart, no trailing spaces: kubectl's look.
 *
 * @param minimum widths to start from, so that rows printed later line up (see `widthsOf`)
 */
export function renderTable(header: readonly string[], rows: readonly Row[], minimum: readonly number[] = []): string {
  const widths = widthsOf(header, rows, minimum);
  return [header, ...rows].map((row) => `${renderRow(row, widths)}\n`).join("");
}

/** The width of every column. */
export function widthsOf(header: readonly string[], rows: readonly Row[], minimum: readonly number[] = []): number[] {
  return header.map((title, column) =>
    rows.reduce(
      (width, row) => Math.max(width, textOf(row[column]).length),
      Math.max(title.length, minimum[column] ?? 0),
    ),
  );
}

/** One line of a table, without a newline. */
export function renderRow(row: Row, widths: readonly number[]): string {
  let line = "";
  row.forEach((cell, column) => {
    const text = textOf(cell);
    const last = column === row.length - 1;
    const paint = typeof cell === "string" ? undefined : cell.paint;
    line += paint === undefined ? text : paint(text);
    if (!last) line += " ".repeat(Math.max(0, (widths[column] ?? 0) - text.length)) + GAP;
  });
  return line.trimEnd();
}

function textOf(cell: string | Cell | undefined): string {
  if (cell === undefined) return "";
  return oneLine(typeof cell === "string" ? cell : cell.text);
}
