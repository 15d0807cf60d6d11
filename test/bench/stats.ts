/** The middle one of `values`; of an even number, the mean of the two in the middle. NaN of none. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const half = sorted.length >> 1;
  const upper = sorted[half] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[half - 1] ?? Number.NaN) + upper) / 2;
}

/** The value that `share` (0–1) of `values` are at or below (nearest rank). NaN of none. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)] ?? Number.NaN;
}

/** Of a figure that is a median, for its note. */
export function spread(values: readonly number[]): string {
  return `median of ${values.length}, 10th to 90th percentile ${Math.round(percentile(values, 0.1))}–${Math.round(percentile(values, 0.9))}`;
}
