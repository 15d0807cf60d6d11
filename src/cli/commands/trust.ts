import type { CommandSpec } from "../spec.ts";
import { addTrust } from "./trust-add.ts";
import { listTrust } from "./trust-ls.ts";
import { removeTrust } from "./trust-rm.ts";
import { syncTrust } from "./trust-sync.ts";

export const trust: CommandSpec = {
  summary: "Say which images may run, and who must have signed them",
  description:
    "Reads and edits Gantry's policy.json (containers-policy.json(5), as Podman and skopeo have it). The most specific prefix decides; what none covers is for the setting trust.default. A running container is not touched by a change; it counts at the next start.",
  outputs: ["json", "yaml"],
  examples: [
    { line: "gantry trust ls", does: "the rules in force" },
    {
      line: "gantry trust add --prefix registry.example.com/team --sigstore cosign.pub",
      does: "only with cosign's signature",
    },
    { line: "gantry trust rm --prefix registry.example.com/team", does: "no rule of its own any more" },
  ],
  subcommands: { list: listTrust, ls: listTrust, add: addTrust, rm: removeTrust, sync: syncTrust },
};
