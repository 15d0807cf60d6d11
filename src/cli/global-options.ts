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
      flags: "--host <url>",
      description: "talk to the Gantry at this address, with the credentials of a kubeconfig (or GANTRY_HOST)",
    },
    {
      flags: "--kubeconfig <file>",
      description: "talk to the Gantry of this kubeconfig (default with --host and --context: as kubectl)",
      complete: "file",
    },
    { flags: "--context <name>", description: "talk to the Gantry of this context of the kubeconfig" },
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
