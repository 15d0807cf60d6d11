/** One thing that was looked at. */
export interface Check {
  readonly name: string;
  /** warn: works, with less; fail: pods don't run. */
  readonly status: "ok" | "warn" | "fail";
  readonly found: string;
  /** What to do, as a command where there is one. */
  readonly mend?: string;
}

export const ok = (name: string, found: string): Check => ({ name, status: "ok", found });
export const warn = (name: string, found: string, mend: string): Check => ({ name, status: "warn", found, mend });
export const fail = (name: string, found: string, mend: string): Check => ({ name, status: "fail", found, mend });
