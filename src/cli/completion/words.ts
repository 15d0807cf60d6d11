import { globalOptions } from "../global-options.ts";
import { COMMANDS } from "../registry.ts";
import type { CommandSpec, Completion, OptionSpec } from "../spec.ts";

/** What the word under the cursor can be, and what was said before it. */
export interface Cursor {
  /** What it begins with. */
  readonly typed: string;
  /** Printed before every candidate: "--for=" where the value is in the same word. */
  readonly prefix: string;
  readonly wanted: Wanted;
  /** The command's arguments so far. */
  readonly args: readonly string[];
  /** Values of options so far, by long name: "namespace", "root". */
  readonly values: ReadonlyMap<string, string>;
}

export type Wanted =
  | { readonly type: "command" }
  | { readonly type: "names"; readonly spec: CommandSpec }
  | { readonly type: "flags"; readonly spec: CommandSpec | undefined }
  | { readonly type: "value"; readonly of: Completion }
  | { readonly type: "nothing" };

/** Reads a half-typed command line; the last of `words` is the one under the cursor, possibly empty. */
export async function readCursor(words: readonly string[]): Promise<Cursor> {
  const typed = words.at(-1) ?? "";
  const args: string[] = [];
  const values = new Map<string, string>();
  let spec: CommandSpec | undefined;
  let expecting: OptionSpec | undefined;
  const cursor = (wanted: Wanted, text = typed, prefix = ""): Cursor => ({ typed: text, prefix, wanted, args, values });
  for (const word of words.slice(0, -1)) {
    if (expecting !== undefined) {
      values.set(longName(expecting), word);
      expecting = undefined;
    } else if (word === "--") {
      return cursor({ type: "nothing" }); // what follows is a command line of its own
    } else if (word.startsWith("-") && word.length > 1) {
      const [flag = "", value] = splitOnce(word);
      const option = findOption(flag, spec);
      if (option === undefined || !takesValue(option)) continue;
      if (value === undefined) expecting = option;
      else values.set(longName(option), value);
    } else if (spec === undefined) {
      const entry = Object.hasOwn(COMMANDS, word) ? COMMANDS[word] : undefined;
      if (word === "help") continue;
      if (entry === undefined) return cursor({ type: "nothing" });
      spec = await entry.load();
    } else if (spec.subcommands !== undefined && args.length === 0 && Object.hasOwn(spec.subcommands, word)) {
      spec = spec.subcommands[word] ?? spec;
    } else {
      args.push(word);
    }
  }
  if (expecting !== undefined) return cursor(valueFor(expecting));
  if (typed.startsWith("-")) {
    const [flag = "", value] = splitOnce(typed);
    if (value === undefined) return cursor({ type: "flags", spec });
    const option = findOption(flag, spec);
    return option === undefined ? cursor({ type: "nothing" }) : cursor(valueFor(option), value, `${flag}=`);
  }
  if (spec === undefined) return cursor({ type: "command" });
  if (spec.subcommands !== undefined && args.length === 0) return cursor({ type: "names", spec });
  return cursor(argumentOf(spec, args.length));
}

function argumentOf(spec: CommandSpec, index: number): Wanted {
  const list = spec.arguments ?? [];
  const last = list.at(-1);
  const argument = list[index] ?? (last?.syntax.includes("...") ? last : undefined);
  return argument?.complete === undefined ? { type: "nothing" } : { type: "value", of: argument.complete };
}

function valueFor(option: OptionSpec): Wanted {
  return option.complete === undefined ? { type: "nothing" } : { type: "value", of: option.complete };
}

function findOption(flag: string, spec: CommandSpec | undefined): OptionSpec | undefined {
  const all = [...(spec?.options ?? []), ...globalOptions(spec ?? { outputs: [] })];
  return all.find((option) => flagsOf(option).includes(flag));
}

/** ["-n", "--namespace"] */
export function flagsOf(option: OptionSpec): string[] {
  return option.flags.split(/,\s*|\s+/).filter((part) => part.startsWith("-"));
}

function longName(option: OptionSpec): string {
  return (flagsOf(option).find((flag) => flag.startsWith("--")) ?? "").slice(2);
}

function takesValue(option: OptionSpec): boolean {
  return /[<[]/.test(option.flags);
}

function splitOnce(word: string): [string, string | undefined] {
  const at = word.startsWith("--") ? word.indexOf("=") : -1;
  return at === -1 ? [word, undefined] : [word.slice(0, at), word.slice(at + 1)];
}
