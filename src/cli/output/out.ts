import type { OutputFormat } from "../spec.ts";
import type { Colors } from "./color.ts";
import { colorsFor } from "./color.ts";

/** Where a command prints: data to stdout, everything said about it to stderr. */
export interface Out {
  readonly format: OutputFormat;
  readonly colors: Colors;
  /** Colours for stderr, which may be a terminal when stdout is not. */
  readonly errorColors: Colors;
  /** True once anything went to stdout. */
  readonly started: boolean;
  /** Data, as it is. @returns false when the reader is slow: wait for "drain" before writing much more */
  write(text: string | Uint8Array): boolean;
  /** One line of data. */
  line(text?: string): void;
  /** One line for the person who looks on, as it is: text from elsewhere goes through `oneLine` first. */
  note(text: string): void;
  /** Data as JSON or YAML, whichever `-o` asked for. */
  structured(value: unknown): Promise<void>;
}

/** As much of a stream as is printed to: process.stdout, or a test's own. */
export interface Sink {
  readonly isTTY?: boolean;
  write(text: string | Uint8Array): boolean;
}

export interface OutOptions {
  readonly format: OutputFormat;
  readonly color: boolean;
  readonly stdout: Sink;
  readonly stderr: Sink;
  readonly env: NodeJS.ProcessEnv;
}

export function createOut(options: OutOptions): Out {
  const { stdout, stderr, format } = options;
  let started = false;
  const write = (text: string | Uint8Array): boolean => {
    if (text.length === 0) return true;
    started = true;
    return stdout.write(text);
  };
  return {
    format,
    colors: colorsFor(stdout, options.color, options.env),
    errorColors: colorsFor(stderr, options.color, options.env),
    get started() {
      return started;
    },
    write,
    line: (text = "") => void write(`${text}\n`),
    note: (text) => void stderr.write(`${text}\n`),
    structured: async (value) =>
      void write(format === "yaml" ? await toYaml(value) : `${JSON.stringify(value, null, 2)}\n`),
  };
}

/** The YAML library is loaded only here: it is a third of the start-up time of a command that needs none. */
async function toYaml(value: unknown): Promise<string> {
  const { stringify } = await import("yaml");
  // Long lines stay whole and repeated values are written out, as kubectl prints them.
  return stringify(value, { lineWidth: 0, aliasDuplicateObjects: false });
}
