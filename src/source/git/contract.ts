/** What Git sources need from the daemon. */
import type { LoadedObject, Problem } from "../../manifest/index.ts";
import type { SyncResult } from "../../notify/index.ts";
import type { NewEvent, TextTable } from "../../store/contract.ts";
import type { Clock } from "../../system/clock.ts";
import type { Logger } from "../../system/log.ts";
import type { SourcePod } from "./health.ts";
import type { ParseFile } from "./read-revision.ts";

/** A pod of a source; `origin` tells the object that it is of: "git:infra/web.yaml:1". */
export type PodFact = Omit<SourcePod, "wave" | "revision" | "kept"> & { readonly origin: string };

export interface GitPorts {
  /** Folder of the copies of repositories. */
  readonly dir: string;
  /** What is known of each source, by its name. */
  readonly store: TextTable;
  readonly clock: Clock;
  readonly log: Logger;
  readonly event: (event: NewEvent) => void;
  /** From 0 to 1. */
  readonly random: () => number;
  /** What is wrong with objects of a source beside those of all others; nothing changes by it. */
  readonly check: (source: string, objects: readonly LoadedObject[]) => readonly Problem[];
  /** Has the sources read; resolves when what they say is in force. */
  readonly look: () => Promise<void>;
  readonly pods: (source: string) => readonly PodFact[];
  /** Of one file, encrypted or in clear. */
  readonly parse: ParseFile;
  /** ms that a revision may take, where the source does not say. */
  readonly deadlineMs: number;
  /** ms that a pod must have been ready. */
  readonly settleMs: number;
  /** How a revision came out, every time that this is otherwise than before; and what can't be fetched. */
  readonly onResult?: (result: SyncResult) => void;
}
