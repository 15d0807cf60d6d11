import type { CommandSpec } from "../spec.ts";
import { addSource } from "./sync-add.ts";
import { diffSource } from "./sync-diff.ts";
import { syncNow } from "./sync-now.ts";
import { removeSource } from "./sync-remove.ts";
import { rollbackSource } from "./sync-rollback.ts";
import { setSource } from "./sync-set.ts";
import { sourceStatus } from "./sync-status.ts";
import { resumeSource, suspendSource } from "./sync-suspend.ts";

export const sync: CommandSpec = {
  summary: "Follow Git repositories: what is merged is what runs",
  description:
    "A source is a Git repository whose manifests run beside those of the folder. Sources stand in config.yaml (sources:)\n" +
    "or are added here. A revision comes into force as a whole, or not at all; one whose pods don't become ready is\n" +
    "rolled back to the last that was healthy.",
  outputs: ["table", "wide", "json", "yaml"],
  examples: [
    { line: "gantry sync add https://example.com/team/pods.git --name pods", does: "follow its default branch" },
    { line: "gantry sync list", does: "what is followed, and how it is" },
    { line: "gantry sync diff pods", does: "what the remote would change now" },
  ],
  subcommands: {
    add: addSource,
    set: setSource,
    list: sourceStatus,
    ls: sourceStatus,
    status: sourceStatus,
    now: syncNow,
    diff: diffSource,
    suspend: suspendSource,
    resume: resumeSource,
    rollback: rollbackSource,
    remove: removeSource,
    rm: removeSource,
  },
};
