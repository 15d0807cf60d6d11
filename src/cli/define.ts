import type { Command, OutputConfiguration } from "commander";
import { globalOptions, type OutputKinds } from "./global-options.ts";
import type { CommandSpec } from "./spec.ts";

/** Calls a command with its arguments flattened and its own options. */
export type Dispatch = (
  spec: CommandSpec,
  args: readonly string[],
  values: Readonly<Record<string, unknown>>,
) => Promise<void>;

export const EXAMPLES_OF_ALL = `
Examples:
  gantry daemon --manifests ./manifests   run the pods of a folder
  gantry status                           see what runs
  gantry logs -f web                      follow what a pod prints

'gantry COMMAND --help' tells about one command.
Exit codes: 0 ok, 1 failed, 2 wrong usage, 3 not found, 4 the daemon is not reachable,
5 plan --exit-code: something would change.`;

/** Adds the flags that every command understands. */
export function addGlobalOptions(command: Command, kinds: OutputKinds): void {
  command.optionsGroup("Options of every command:");
  for (const { flags, description } of globalOptions(kinds)) {
    if (flags.includes("--help")) command.helpOption(flags, description);
    else command.option(flags, description);
  }
}

/** Gives `command` the arguments, options, examples, subcommands and action of `spec`. */
export function defineCommand(
  command: Command,
  spec: CommandSpec,
  printing: OutputConfiguration,
  dispatch: Dispatch,
): void {
  command.description(spec.description ?? spec.summary);
  for (const { syntax, description } of spec.arguments ?? []) command.argument(syntax, description);
  for (const { flags, description, repeatable } of spec.options ?? []) {
    if (repeatable === true) command.option(flags, description, collect, []);
    else command.option(flags, description);
  }
  addGlobalOptions(command, spec);
  command.addHelpText("after", examplesOf(spec));
  const subcommands = Object.entries(spec.subcommands ?? {});
  if (subcommands.length > 0) command.enablePositionalOptions();
  for (const [name, sub] of subcommands) {
    const child = command.helpCommand(false).command(name).summary(sub.summary);
    child.exitOverride().configureOutput(printing);
    defineCommand(child, sub, printing, (called, args, values) =>
      dispatch(called, args, mergedValues(command.opts(), values)),
    );
  }
  if (spec.run !== undefined || subcommands.length === 0) {
    command.action((...call: unknown[]) => dispatch(spec, call.slice(0, -2).flatMap(words), command.opts()));
  }
}

/** Options given before a command's name and after it: the later ones win, and one --no-color is enough. */
export function mergedValues(
  before: Readonly<Record<string, unknown>>,
  after: Readonly<Record<string, unknown>>,
): Record<string, unknown> {
  return { ...before, ...after, color: before["color"] !== false && after["color"] !== false };
}

function collect(value: string, before: readonly string[]): string[] {
  return [...before, value];
}

function words(value: unknown): string[] {
  if (typeof value === "string") return [value];
  return Array.isArray(value) ? value.filter((entry) => typeof entry === "string") : [];
}

function examplesOf({ examples }: CommandSpec): string {
  const width = Math.max(0, ...examples.map(({ line }) => line.length));
  const lines = examples.map(({ line, does }) => `  ${line.padEnd(width)}   ${does}`);
  return lines.length === 0 ? "" : `\n${examples.length === 1 ? "Example" : "Examples"}:\n${lines.join("\n")}`;
}
