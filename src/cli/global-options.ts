import type { OptionSpec, OutputFormat } from "./spec.ts";

/** What a command says about its output. */
export interface OutputKinds {
  /** The formats it knows beside the table. */
  readonly outputs: readonly OutputFormat[];
  readonly ownOutput?: true;
}

/** The flags that every command understands, before or after its name. */
export function globalOptions({ outputs, ownOutput }: OutputKinds): OptionSpec[] {
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
    ...(ownOutput === true
      ? []
      : [{ flags: "-o, --output <format>", description: `output format: ${formats.join(", ")}`, complete: formats }]),
    { flags: "--no-color", description: "no colours (also NO_COLOR)" },
    { flags: "-v, --verbose", description: "on an error, say where it came from" },
    { flags: "-h, --help", description: "help for this command" },
  ];
}

/** What -o allows: json always, because errors can be printed so. */
export function outputFormats(outputs: readonly OutputFormat[]): OutputFormat[] {
  return [...new Set<OutputFormat>(["table", ...outputs, "json"])];
}
