import { renderTable } from "../output/table.ts";
import type { Call, CommandSpec } from "../spec.ts";

const path: CommandSpec = {
  summary: "Print where the config file is looked for",
  outputs: ["json", "yaml"],
  ownHost: true,
  examples: [{ line: '$EDITOR "$(gantry config path)"', does: "edit it" }],
  async run({ context }) {
    const { out, paths } = context;
    if (out.format === "json" || out.format === "yaml") await out.structured({ path: paths.configFile });
    else out.line(paths.configFile);
    return undefined;
  },
};

export const config: CommandSpec = {
  summary: "Show the settings in effect, and where each comes from",
  description:
    "Every setting has a default, which the config file overrides, which GANTRY_… variables override, which flags of\n" +
    "'gantry daemon' override.",
  outputs: ["table", "wide", "json", "yaml"],
  ownHost: true,
  examples: [
    { line: "gantry config", does: "every setting" },
    { line: "gantry config -o wide", does: "with what each means, and its variable" },
  ],
  subcommands: { path },
  run,
};

async function run({ context }: Call): Promise<undefined> {
  const { out, paths, env } = context;
  const { effectiveConfig } = await import("../../config/index.ts");
  const { settings, warnings } = await effectiveConfig({ paths, env });
  for (const warning of warnings) out.note(`${out.errorColors.yellow("warning:")} ${warning}`);
  if (out.format === "json" || out.format === "yaml") {
    await out.structured({ file: paths.configFile, settings });
    return undefined;
  }
  const wide = out.format === "wide";
  const rows = settings.map((setting) => [
    setting.path,
    shown(setting.value),
    setting.origin,
    ...(wide ? [setting.variable, setting.description] : []),
  ]);
  out.write(renderTable(["SETTING", "VALUE", "FROM", ...(wide ? ["VARIABLE", "MEANING"] : [])], rows));
  return undefined;
}

function shown(value: unknown): string {
  if (value === undefined) return "-";
  if (Array.isArray(value)) return value.length === 0 ? "-" : value.join(", ");
  if (typeof value === "object" && value !== null) {
    const entries = Object.entries(value).map(([key, inner]) => `${key}=${String(inner)}`);
    return entries.length === 0 ? "-" : entries.join(",");
  }
  return String(value);
}
