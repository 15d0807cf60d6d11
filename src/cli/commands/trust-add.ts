import { GantryError } from "../../system/errors.ts";
import type { AddOptions, NewRule } from "../../trust/edit.ts";
import type { Flags } from "../flags.ts";
import type { Call, CommandSpec } from "../spec.ts";

export const addTrust: CommandSpec = {
  summary: "Add a rule for a prefix of image names",
  description:
    "Keys are copied beside the policy. Several --gpg or --sigstore keys: a signature by any of them will do, as it is needed while a key is replaced.",
  options: [
    { flags: "--prefix <prefix>", description: "a registry, a repository, an image or *.example.com" },
    {
      flags: "--gpg <file>",
      description: "images must be signed with this GPG key (repeatable)",
      complete: "file",
      repeatable: true,
    },
    {
      flags: "--sigstore <file>",
      description: "images must be signed with this cosign/sigstore key (repeatable)",
      complete: "file",
      repeatable: true,
    },
    { flags: "--lookaside <url>", description: "with --gpg: where the signatures are kept" },
    {
      flags: "--identity <match>",
      description: "the signature names the image: exact, or repository (any tag of it)",
      complete: ["exact", "repository"],
    },
    { flags: "--accept", description: "let in everything, unsigned too" },
    { flags: "--reject", description: "let in nothing" },
    { flags: "--replace", description: "put it in the place of a rule that is there" },
  ],
  outputs: ["json", "yaml"],
  ownHost: true,
  examples: [
    { line: "gantry trust add --prefix registry.example.com --sigstore cosign.pub", does: "cosign's signatures" },
    {
      line: "gantry trust add --prefix registry.example.com/team --gpg team.asc --lookaside https://example.com/sigs",
      does: "GPG signatures",
    },
    { line: "gantry trust add --prefix docker.io/library --accept", does: "no signature needed" },
  ],
  run,
};

async function run({ flags, context }: Call): Promise<undefined> {
  const { out, paths } = context;
  const { parseScope } = await import("../../trust/scopes.ts");
  const scope = parseScope(required(flags));
  const rule = await ruleOf(flags, scope);
  const identity = flags.choice("identity", ["exact", "repository"] as const);
  if (identity !== undefined && (rule.type === "accept" || rule.type === "reject"))
    throw new GantryError("usage", "--identity is about signatures", {
      hint: "Give it together with --gpg or --sigstore.",
    });
  const { addRule } = await import("../../trust/edit.ts");
  const options: AddOptions = { etc: paths.etc, scope, rule, identity, replace: flags.on("replace") };
  const { file, keys, replaced } = await addRule(options);
  const labels = keys.map(({ label }) => label);
  if (out.format === "json" || out.format === "yaml")
    await out.structured({ prefix: scope, file, keys: labels, replaced });
  else
    out.line(
      `trust/${scope} ${replaced ? "replaced" : "added"}${labels.length > 0 ? `: signed by ${labels.join(" or ")}` : ""}`,
    );
  return undefined;
}

export function required(flags: Flags): string {
  const prefix = flags.text("prefix");
  if (prefix !== undefined) return prefix;
  throw new GantryError("usage", "which images is the rule for?", { hint: "Give --prefix registry.example.com/team." });
}

async function ruleOf(flags: Flags, scope: string): Promise<NewRule> {
  const [gpg, sigstore, lookaside] = [flags.texts("gpg"), flags.texts("sigstore"), flags.text("lookaside")];
  const asked = [gpg.length > 0, sigstore.length > 0, flags.on("accept"), flags.on("reject")].filter(Boolean).length;
  if (asked !== 1) {
    throw new GantryError("usage", asked === 0 ? "what is asked of these images?" : "one rule asks for one thing", {
      hint: "Give one of --gpg KEY, --sigstore KEY, --accept and --reject.",
    });
  }
  if (lookaside !== undefined && gpg.length === 0)
    throw new GantryError("usage", "--lookaside is about GPG signatures", { hint: "Give it together with --gpg." });
  if (gpg.length > 0) {
    const { parseLookaside } = await import("../../trust/registries-d.ts");
    return { type: "gpg", keyFiles: gpg, lookaside: lookaside && parseLookaside(lookaside, scope) };
  }
  if (sigstore.length > 0) return { type: "sigstore", keyFiles: sigstore };
  return { type: flags.on("accept") ? "accept" : "reject" };
}
