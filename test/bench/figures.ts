/** One number that the bench found. */
export interface Figure {
  /** Stable, for scripts: "start.ratio". */
  readonly id: string;
  readonly what: string;
  readonly value: number;
  readonly unit: "ms" | "×" | "%" | "MiB";
  /** What it must not pass (or not fall below). */
  readonly limit?: { readonly at: "most" | "least"; readonly value: number };
  /** How it came about: "median of 20, 10th to 90th percentile 41–58". */
  readonly note?: string;
}

export function isWithin({ value, limit }: Figure): boolean | undefined {
  if (limit === undefined) return undefined;
  // NaN (nothing was measured) is within nothing.
  return limit.at === "most" ? value <= limit.value : value >= limit.value;
}

/** A table for people. */
export function formatFigures(figures: readonly Figure[]): string {
  const rows = figures.map((figure) => {
    const { what, value, unit, limit, note } = figure;
    const within = isWithin(figure);
    const mark = within === undefined ? "" : within ? "pass" : "OVER";
    const bound = limit === undefined ? "" : `${limit.at === "most" ? "≤" : "≥"} ${formatNumber(limit.value)} ${unit}`;
    return [what, `${formatNumber(value)} ${unit}`, bound, mark, note ?? ""];
  });
  const header = ["figure", "value", "limit", "", ""];
  const widths = header.map((_, column) => Math.max(...[header, ...rows].map((row) => row[column]?.length ?? 0)));
  return [header, ...rows]
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}

function formatNumber(value: number): string {
  if (Number.isNaN(value)) return "–";
  return value >= 100 ? String(Math.round(value)) : value.toFixed(value >= 10 ? 1 : 2).replace(/\.?0+$/, "");
}
