import type { Call, CommandSpec } from "../spec.ts";

export const removeCredentialCommand: CommandSpec = {
  summary: "Take credentials back: they are refused from now on, and what goes on with them is cut off",
  arguments: [{ syntax: "<names...>", description: "as 'gantry kubeconfig ls' lists them", complete: "credential" }],
  outputs: [],
  ownHost: true,
  examples: [{ line: "gantry kubeconfig rm grafana", does: "a kubeconfig that got lost is worth nothing any more" }],
  run,
};

async function run({ args, context }: Call): Promise<undefined> {
  const { out, paths } = context;
  const { accessDir } = await import("../../api/access/keys.ts");
  const { removeCredential } = await import("../../api/access/credentials.ts");
  for (const name of args) {
    await removeCredential(accessDir(paths), name);
    out.line(`removed ${name}`);
  }
  return undefined;
}
