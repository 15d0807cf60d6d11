import type { EffectiveRule } from "../../trust/index.ts";
import { renderTable } from "../output/table.ts";
import type { Call, CommandSpec } from "../spec.ts";

export const listTrust: CommandSpec = {
  summary: "List the rules in force, the default last",
  outputs: ["table", "json", "yaml"],
  ownHost: true,
  examples: [{ line: "gantry trust ls -o json", does: "for scripts" }],
  run,
};

async function run({ context }: Call): Promise<undefined> {
  const { out } = context;
  const { openTrust } = await import("../trust.ts");
  const { wantedSigners } = await import("../../trust/index.ts");
  const { trust, follower } = await openTrust(context);
  const { rules } = await trust.effective();
  const items = await Promise.all(
    rules.map(async (rule) => ({
      prefix: rule.scope ?? "(default)",
      rule: typesOf(rule),
      signers: await wantedSigners(rule),
      from: rule.from,
    })),
  );
  if (out.format === "json" || out.format === "yaml") await out.structured({ items });
  else {
    const rows = items.map(({ prefix, rule, signers, from }) => [
      prefix === "" ? "(registries)" : prefix,
      rule,
      signers.length === 0 ? "<none>" : signers.join(" and "),
      from,
    ]);
    out.write(renderTable(["PREFIX", "RULE", "SIGNED BY", "FROM"], rows));
  }
  const stale = (await follower?.current())?.stale;
  if (stale !== undefined) out.note(`${stale}\nTry now: gantry trust sync`);
  return undefined;
}

const WORDS = {
  insecureAcceptAnything: "accept",
  reject: "reject",
  signedBy: "gpg",
  sigstoreSigned: "sigstore",
} as const;

function typesOf({ requirements }: EffectiveRule): string {
  return [...new Set(requirements.map(({ requirement }) => WORDS[requirement.type]))].join("+");
}
