import { Command, CommanderError } from "commander";
import { GantryError, isGantryError, toGantryError } from "../system/errors.ts";
import { layout } from "../system/paths.ts";
import type { Context } from "./context.ts";
import { addGlobalOptions, defineCommand, EXAMPLES_OF_ALL, mergedValues } from "./define.ts";
import { EXIT } from "./exit.ts";
import { Flags } from "./flags.ts";
import { outputFormats } from "./global-options.ts";
import { type Interruption, interruption } from "./interrupt.ts";
import type { RemoteWish } from "./kubeconfig/endpoint.ts";
import { createOut, type Out, type Sink } from "./output/out.ts";
import { isNamespaceName } from "./parse/pod-name.ts";
import { COMMANDS } from "./registry.ts";
import { reportError } from "./report.ts";
import { type Call, type CommandSpec, OUTPUT_FORMATS, type OutputFormat } from "./spec.ts";

/** Runs one command line and ends the process with its exit code. */
export async function main(argv: readonly string[]): Promise<void> {
  quietlyWithoutReader();
  const code = await run(argv, process.env, process);
  // Sockets and timers that a command left open must not keep a finished one alive; what it printed is out first.
  process.stdout.write("", () => process.exit(code));
}

/** Where a command line prints: `process`, or what a test gives. */
export interface Streams {
  readonly stdout: Sink;
  readonly stderr: Sink;
}

/** @returns the exit code */
export async function run(argv: readonly string[], env: NodeJS.ProcessEnv, streams: Streams): Promise<number> {
  const interrupt = interruption();
  const { stdout, stderr } = streams;
  // What is known about the output before the command line is parsed: enough to report that it can't be.
  let out = createOut({ format: guessFormat(argv), color: !argv.includes("--no-color"), stdout, stderr, env });
  let verbose = argv.includes("-v") || argv.includes("--verbose");
  let exitCode: number = EXIT.ok;
  const program = buildProgram(streams, async (spec, args, values, globals) => {
    const flags = new Flags(mergedValues(globals, values));
    out = createOut({ format: formatOf(flags, spec), color: !flags.off("color"), stdout, stderr, env });
    verbose = flags.on("verbose");
    const context = await contextOf(flags, out, env, argv, interrupt, spec);
    if (spec.run === undefined) return;
    if (spec.ownHost !== undefined) refuseRemote(spec, context);
    exitCode = (await spec.run({ args, flags, context } satisfies Call)) ?? EXIT.ok;
  });
  try {
    await program.parseAsync(helpFlagLast(argv), { from: "user" });
    return exitCode;
  } catch (error) {
    if (error instanceof CommanderError) {
      if (error.exitCode === 0) return EXIT.ok; // help was asked for and is printed
      return reportError(usageError(error, argv), out, verbose);
    }
    if (interrupt.signal.aborted) return interrupt.exitCode();
    const told = toGantryError(error);
    if (isGantryError(error) || told.code !== "internal") return reportError(told, out, verbose);
    const hint = "This is a fault of Gantry itself: run it again with -v and report what it prints.";
    return reportError(new GantryError("internal", told.message, { kind: "system", hint, cause: error }), out, verbose);
  } finally {
    interrupt.release();
  }
}

type Runner = (
  spec: CommandSpec,
  args: readonly string[],
  values: Readonly<Record<string, unknown>>,
  globals: Readonly<Record<string, unknown>>,
) => Promise<void>;

/** The parser with the name and summary of every command; the one that is called gets the rest when it is reached. */
function buildProgram({ stdout, stderr }: Streams, runner: Runner): Command {
  const printing = {
    writeOut: (text: string) => void stdout.write(text),
    writeErr: (text: string) => void stderr.write(text),
    outputError: () => {}, // told by reportError, in our own form
  };
  const program = new Command("gantry")
    .description("Gantry runs pods on this host from a folder of Kubernetes manifests.")
    .enablePositionalOptions()
    .helpCommand(false)
    .exitOverride()
    .configureOutput(printing)
    .addHelpText("after", EXAMPLES_OF_ALL);
  addGlobalOptions(program, { outputs: OUTPUT_FORMATS });
  for (const [name, { summary, group }] of Object.entries(COMMANDS)) {
    const command = program
      .command(name, { hidden: group === "" })
      .summary(summary)
      .description(summary);
    command.exitOverride().configureOutput(printing);
    if (group !== "") command.helpGroup(group);
  }
  program.hook("preSubcommand", async (_program, command) => {
    const entry = COMMANDS[command.name()];
    if (entry === undefined) return;
    const spec = await entry.load();
    defineCommand(command, spec, printing, (called, args, values) => runner(called, args, values, program.opts()));
  });
  return program;
}

/** `gantry help logs` is `gantry logs --help`. */
function helpFlagLast(argv: readonly string[]): string[] {
  const [first, ...rest] = argv;
  if (first === undefined) return ["--help"];
  return first === "help" ? [...rest, "--help"] : [...argv];
}

/** Commander's complaint, split into what is wrong and what to do. */
function usageError(error: CommanderError, argv: readonly string[]): GantryError {
  const [first = "", second = ""] = error.message.replace(/^error: /, "").split("\n");
  const near = /^\(Did you mean (.+)\?\)$/.exec(second)?.[1];
  const name = argv.find((word) => Object.hasOwn(COMMANDS, word));
  const help = `gantry ${name === undefined ? "" : `${name} `}--help`;
  if (error.code === "commander.help") return new GantryError("usage", "say what to do", { hint: `Run '${help}'.` });
  const hint = near === undefined ? `Run '${help}' to see what there is.` : `Did you mean '${near}'?`;
  return new GantryError("usage", first, { hint });
}

async function contextOf(
  flags: Flags,
  out: Out,
  env: NodeJS.ProcessEnv,
  argv: readonly string[],
  interrupt: Interruption,
  { ownHost }: CommandSpec,
): Promise<Context> {
  const root = flags.text("root") ?? (env["GANTRY_ROOT"] || undefined);
  const paths = layout(root);
  const remote = remoteOf(flags, env);
  const namespace = namespaceOf(flags);
  const asksRemote = remote !== undefined && ownHost === undefined;
  return {
    paths,
    root,
    namespace,
    defaultNamespace: asksRemote && namespace === undefined ? await namespaceOfContext(remote, env) : undefined,
    verbose: flags.on("verbose"),
    out,
    env,
    argv,
    remote,
    signal: interrupt.signal,
    releaseSignals: interrupt.release,
    now: () => Date.now(),
    client: async () => {
      const { createApiClient } = await import("../api/client.ts");
      if (!asksRemote) return createApiClient({ socketPath: paths.socket });
      const { remoteEndpoint } = await import("./kubeconfig/endpoint.ts");
      return createApiClient(await remoteEndpoint(remote, env));
    },
  };
}

async function namespaceOfContext(remote: RemoteWish, env: NodeJS.ProcessEnv): Promise<string | undefined> {
  const { remoteNamespace } = await import("./kubeconfig/endpoint.ts");
  return remoteNamespace(remote, env);
}

function remoteOf(flags: Flags, env: NodeJS.ProcessEnv): RemoteWish | undefined {
  const host = flags.text("host") ?? (env["GANTRY_HOST"] || undefined);
  const kubeconfig = flags.text("kubeconfig");
  const context = flags.text("context");
  return host === undefined && kubeconfig === undefined && context === undefined
    ? undefined
    : { host, kubeconfig, context };
}

/** @throws GantryError `usage` when another host was asked for */
function refuseRemote(spec: CommandSpec, { remote, env }: Context): void {
  if (remote === undefined) return;
  // To 'gantry kubeconfig', --kubeconfig is the file to write.
  const asked = [
    ...(remote.host === undefined ? [] : [env["GANTRY_HOST"] === remote.host ? "GANTRY_HOST" : "--host"]),
    ...(remote.context === undefined ? [] : ["--context"]),
    ...(remote.kubeconfig === undefined || spec.ownHost === "but-file" ? [] : ["--kubeconfig"]),
  ];
  const [said] = asked;
  if (said === undefined) return;
  throw new GantryError("usage", `this command is about the host that it runs on, and ${said} asks for another`, {
    hint: said === "GANTRY_HOST" ? "Run it there, or unset GANTRY_HOST." : `Run it there, or leave ${said} out.`,
  });
}

/** @throws GantryError `usage` for what can't be the name of a namespace */
function namespaceOf(flags: Flags): string | undefined {
  const name = flags.text("namespace");
  if (name === undefined || isNamespaceName(name)) return name;
  throw new GantryError("usage", `--namespace '${name}' is not a name of a namespace`, {
    hint: "Lowercase letters, digits and '-', at most 63; for example: -n default",
  });
}

/** @throws GantryError `usage`, naming the formats of this command */
function formatOf(flags: Flags, spec: CommandSpec): OutputFormat {
  if (spec.ownOutput === true) return "table";
  return flags.choice<OutputFormat>("output", outputFormats(spec.outputs)) ?? "table";
}

/** The format of errors about the command line itself. */
function guessFormat(argv: readonly string[]): OutputFormat {
  const end = argv.indexOf("--");
  const words = end === -1 ? argv : argv.slice(0, end);
  const json = words.some(
    (word, at) =>
      /^(-o=?|--output=)json$/.test(word) || (word === "json" && /^(-o|--output)$/.test(words[at - 1] ?? "")),
  );
  return json ? "json" : "table";
}

/** `gantry … | head` ends like any other tool there: at once and without a word. */
function quietlyWithoutReader(): void {
  for (const stream of [process.stdout, process.stderr]) {
    stream.on("error", (error: NodeJS.ErrnoException) => {
      if (error.code === "EPIPE") process.exit(EXIT.ok);
      throw error;
    });
  }
}
