/** RFC 3339 in whole seconds, as metav1.Time has it. Pure. @param ms since the epoch */
export function timestamp(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 19)}Z`;
}
