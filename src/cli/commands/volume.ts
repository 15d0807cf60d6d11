import type { CommandSpec } from "../spec.ts";
import { describeVolumes } from "./volume-describe.ts";
import { listVolumes } from "./volume-ls.ts";
import { removeVolumes } from "./volume-rm.ts";

export const volume: CommandSpec = {
  summary: "List, describe and remove the volumes of claims",
  description:
    "A PersistentVolumeClaim gets a volume when a pod first needs it. It outlives pods and manifests: only 'gantry volume rm',\n" +
    "or the reclaim policy Delete a while (volumes.deleteAfterSeconds) after nobody claims it any more, removes it.",
  outputs: ["json", "yaml"],
  examples: [
    { line: "gantry volume ls", does: "what there is, and who has it" },
    { line: "gantry volume describe data", does: "everything about one" },
    { line: "gantry volume rm data", does: "remove one and its data" },
  ],
  subcommands: { ls: listVolumes, describe: describeVolumes, rm: removeVolumes },
};
