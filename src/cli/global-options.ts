import type { OptionSpec, OutputFormat } from "./spec.ts";

/** The flags that every command understands, before or after its name. `outputs`: the formats it knows beside the table. */
export function globalOptions(outputs: readonly OutputFormat[]): OptionSpec[] {
  const formats = outputFormats(outputs);
  return [
    {
      flags: "--root <dir>",
      description: "keep everything of Gantry under this directory (or GANTRY_ROOT)",
      complete: "file",
    },
    {
      flags: "-n, --namespace <name>",
      description: "the namespace (default: 'default'; commands that list show all)",
      complete: "namespace",
    },
    { flags: "-o, --output <format>", description: `output format: ${formats.join(", ")}`, complete: formats },
    { flags: "--no-color", description: "no colours (also NO_COLOR)" },
    { flags: "-v, --verbose", description: "on an error, say where it came from" },
    { flags: "-h, --help", description: "help for this command" },
  ];
}

/** What -o allows: json always, because errors can be printed so. */
export function outputFormats(outputs: readonly OutputFormat[]): OutputFormat[] {
  return [...new Set<OutputFormat>(["table", ...outputs, "json"])];
}
