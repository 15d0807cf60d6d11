/** What is told about a synchronisation of a source. */

/** "progressing": it is in force, and its pods are not all ready yet. */
export type SyncOutcome = "progressing" | "synced" | "failed" | "refused" | "rolled-back" | "degraded";

/** One result, as the source that made it sees it. */
export interface SyncResult {
  /** The source's name. */
  readonly source: string;
  readonly outcome: SyncOutcome;
  /** The commit that it is about: its full id; undefined when none could be fetched. */
  readonly revision: string | undefined;
  /** The commit that runs now. */
  readonly running: string | undefined;
  /** Where it comes from; a password in it is taken out before it is told. */
  readonly url?: string;
  /** What is followed: "branch main", "semver ^1.2". */
  readonly ref?: string;
  readonly author?: string;
  /** Why, in one sentence; nothing of what is in manifests. */
  readonly message: string;
  /** ms since the epoch. */
  readonly at: number;
}

export interface Notifier {
  /**
   * Tells everybody who wants to know. Returns at once; it never throws, and never waits for a slow listener.
   * Results of one source are told in order; of those that wait, only the newest of a source is kept.
   */
  notify(result: SyncResult): void;
  /** When everything that was told so far has arrived, or was given up. */
  settled(): Promise<void>;
  /** Gives up what is under way. */
  close(): Promise<void>;
}
