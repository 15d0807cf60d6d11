import { formatAge, formatSpan } from "../output/age.ts";
import { renderTable } from "../output/table.ts";
import type { Call, CommandSpec } from "../spec.ts";

export const listCredentialsCommand: CommandSpec = {
  summary: "List the credentials that clients have; their secrets are not kept",
  outputs: ["table", "json", "yaml"],
  ownHost: true,
  examples: [{ line: "gantry kubeconfig ls", does: "who may do what, and how long" }],
  run,
};

async function run({ context }: Call): Promise<undefined> {
  const { out, paths } = context;
  const { accessDir } = await import("../../api/access/keys.ts");
  const { listCredentials } = await import("../../api/access/credentials.ts");
  const items = await listCredentials(accessDir(paths));
  if (out.format === "json" || out.format === "yaml") {
    await out.structured({ items });
    return undefined;
  }
  if (items.length === 0) {
    out.note("No credentials. Make one: gantry kubeconfig --write");
    return undefined;
  }
  const now = context.now();
  const rows = items.map(({ name, role, kind, createdAt, expiresAt }) => {
    const left = Date.parse(expiresAt) - now;
    return [name, role, kind, formatAge(createdAt, now), left > 0 ? formatSpan(left) : "expired"];
  });
  out.write(renderTable(["NAME", "ROLE", "KIND", "AGE", "EXPIRES IN"], rows));
  return undefined;
}
