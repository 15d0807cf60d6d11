import { z } from "zod";

/** What we read of the report that vitest's JSON reporter writes. */
const Report = z.object({
  testResults: z.array(z.object({ status: z.string(), assertionResults: z.array(z.object({ status: z.string() })) })),
});

export interface Counts {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

/**
 * Counts tests. A file that fails outside its tests (it can't be loaded, a hook throws) counts as one failed test, and
 * so does a run that failed though no test did (an unhandled rejection, things left behind), or that ran nothing.
 * @param ok vitest's own verdict: its exit code
 */
export function countResults(report: unknown, ok: boolean): Counts {
  const parsed = Report.safeParse(report);
  if (!parsed.success) return { passed: 0, failed: 1, skipped: 0 };
  let passed = 0;
  let failed = 0;
  let skipped = 0;
  for (const file of parsed.data.testResults) {
    const before = failed;
    for (const { status } of file.assertionResults) {
      if (status === "passed") passed++;
      else if (status === "failed") failed++;
      else skipped++;
    }
    if (file.status === "failed" && failed === before) failed++;
  }
  if (failed === 0 && (!ok || passed === 0)) failed = 1;
  return { passed, failed, skipped };
}

/** The line that closes a run: "12 passed, 0 failed", with ", 1 skipped" where some were. */
export function closingLine({ passed, failed, skipped }: Counts): string {
  return `${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ""}`;
}
