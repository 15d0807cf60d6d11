/** What is told, and how it is signed. Pure. */
import { createHmac } from "node:crypto";
import type { SyncOutcome, SyncResult } from "./contract.ts";

/** The body of a webhook, a command's stdin and the status file: the same everywhere. */
export interface Notice {
  readonly version: 1;
  readonly node: string;
  readonly source: string;
  readonly outcome: SyncResult["outcome"];
  readonly success: boolean;
  /** As the commit statuses of GitHub and Gitea have it. */
  readonly state: "pending" | "success" | "failure" | "error";
  readonly revision: string | null;
  readonly running: string | null;
  readonly url: string | null;
  readonly ref: string | null;
  readonly author: string | null;
  readonly message: string;
  /** RFC 3339. */
  readonly time: string;
}

const MAX_MESSAGE = 2000;

const STATES: Readonly<Record<SyncOutcome, Notice["state"]>> = {
  progressing: "pending",
  synced: "success",
  failed: "error",
  refused: "failure",
  "rolled-back": "failure",
  degraded: "failure",
};

export function noticeOf(result: SyncResult, node: string): Notice {
  const { source, outcome, revision, running, url, ref, author, message, at } = result;
  return {
    version: 1,
    node,
    source,
    outcome,
    success: outcome === "synced",
    state: STATES[outcome],
    revision: revision ?? null,
    running: running ?? null,
    url: url === undefined ? null : withoutPassword(url),
    ref: ref ?? null,
    author: author ?? null,
    message: withoutPassword(message).slice(0, MAX_MESSAGE),
    time: new Date(at).toISOString(),
  };
}

/** What git prints of a URL may hold a token. */
function withoutPassword(text: string): string {
  return text.replaceAll(/([a-z][a-z0-9+.-]*:\/\/)[^/\s]+@/gi, "$1");
}

/** GitHub's form, which most receivers know how to check: "sha256=" and the HMAC of the body in hex. */
export function signatureOf(body: string, secret: string): string {
  return `sha256=${createHmac("sha256", secret).update(body).digest("hex")}`;
}

/** The environment of a command: what a shell script can use without reading JSON. */
export function variablesOf(notice: Notice): Record<string, string> {
  return {
    GANTRY_SYNC_NODE: notice.node,
    GANTRY_SYNC_SOURCE: notice.source,
    GANTRY_SYNC_OUTCOME: notice.outcome,
    GANTRY_SYNC_STATE: notice.state,
    GANTRY_SYNC_REVISION: notice.revision ?? "",
    GANTRY_SYNC_RUNNING: notice.running ?? "",
    GANTRY_SYNC_MESSAGE: notice.message,
    GANTRY_SYNC_TIME: notice.time,
  };
}

/** ms before the next try: 1, 4, 16 s … */
export function backoffMs(failures: number): number {
  return Math.min(1000 * 4 ** (failures - 1), 60_000);
}

/** Whether a later try may help: the receiver was away or busy, and did not refuse. */
export function isWorthAnotherTry(status: number): boolean {
  return status === 408 || status === 425 || status === 429 || status >= 500;
}
