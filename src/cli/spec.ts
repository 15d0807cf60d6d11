import type { Context } from "./context.ts";
import type { Flags } from "./flags.ts";

/** What `-o` can ask for. `table` is the default of every command that prints data; the last three are for CI. */
export const OUTPUT_FORMATS = ["table", "wide", "json", "yaml", "sarif", "github", "gitlab"] as const;
export type OutputFormat = (typeof OUTPUT_FORMATS)[number];

/** What the shell can complete a word to. */
export type Completion =
  | "pod"
  | "container"
  | "image"
  | "volume"
  | "credential"
  | "source"
  | "namespace"
  | "file"
  | readonly string[];

/**
 * One command as data: the parser, its help and the shell completion are all made from it, so they can't differ.
 */
export interface CommandSpec {
  /** One line, for the list of commands. */
  readonly summary: string;
  /** More than the summary, when there is more to say. */
  readonly description?: string;
  readonly arguments?: readonly ArgumentSpec[];
  readonly options?: readonly OptionSpec[];
  /** Formats beside the default; [] for a command that prints no data. `json` always works for errors. */
  readonly outputs: readonly OutputFormat[];
  /** Its own `-o` names a file, as everywhere else that writes one. */
  readonly ownOutput?: true;
  /** It is about the host that it runs on: --host and its like are refused ("but-file": --kubeconfig means a file to it). */
  readonly ownHost?: true | "but-file";
  readonly examples: readonly Example[];
  readonly subcommands?: Readonly<Record<string, CommandSpec>>;
  /** Absent for a command that only groups others. The number it gives back is the exit code; nothing means 0. */
  readonly run?: (call: Call) => Promise<number | undefined>;
}

export interface ArgumentSpec {
  /** "<pod>", "[pod]" or "<pods...>": commander's syntax. */
  readonly syntax: string;
  readonly description: string;
  readonly complete?: Completion;
}

export interface OptionSpec {
  /** "-f, --follow" or "--tail <n>": commander's syntax. */
  readonly flags: string;
  readonly description: string;
  readonly complete?: Completion;
  /** May be given several times; read with `flags.texts`. */
  readonly repeatable?: boolean;
}

export interface Example {
  readonly line: string;
  readonly does: string;
}

/** One call of a command: everything that was typed, and the world it acts on. */
export interface Call {
  /** The arguments in order; variadic ones flattened. */
  readonly args: readonly string[];
  readonly flags: Flags;
  readonly context: Context;
}
