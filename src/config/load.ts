import { readFile } from "node:fs/promises";
import type { z } from "zod";
import { errnoOf, GantryError, messageOf } from "../system/errors.ts";
import type { Paths } from "../system/paths.ts";
import { defaultConfig } from "./defaults.ts";
import { type ConfigProblem, configError, locate, nearest, parseYaml, schemaProblems } from "./problems.ts";
import { type Config, type ConfigLayer, configSchema, layerSchema } from "./schema.ts";
import { put, type Setting, settings } from "./settings.ts";

export interface ConfigSources {
  readonly paths: Paths;
  /** Default: the environment of this process. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** What the command line says; wins over everything. */
  readonly flags?: ConfigLayer;
  /** Another file than `paths.configFile`; that one has to be there. */
  readonly file?: string;
}

/** A setting's value and who said so. */
export interface EffectiveSetting {
  readonly path: string;
  readonly value: unknown;
  /** "default", "flag", the file's path, or the name of the environment variable. */
  readonly origin: string;
  readonly variable: string;
  readonly description: string;
}

export interface EffectiveConfig {
  readonly config: Config;
  readonly settings: readonly EffectiveSetting[];
  /** Variables that look like settings but are none. */
  readonly warnings: readonly string[];
}

interface Layer {
  readonly values: z.output<typeof layerSchema>;
  readonly origin: (setting: Setting) => string;
}

/** defaults < file < environment < flags. @throws GantryError `invalid-config` that names every problem and its place */
export async function loadConfig(sources: ConfigSources): Promise<Config> {
  return (await effectiveConfig(sources)).config;
}

/** Like `loadConfig`, with the origin of every value, for `gantry config`. */
export async function effectiveConfig(sources: ConfigSources): Promise<EffectiveConfig> {
  const { paths, env = process.env, flags = {} } = sources;
  const file = sources.file ?? paths.configFile;
  const text = await readConfigFile(file, sources.file !== undefined);
  const found = [fileLayer(text, file), environmentLayer(env), flagsLayer(flags)];
  const problems = found.flatMap((result) => result.problems);
  if (problems.length > 0) throw configError(problems);
  return {
    ...merge(
      defaultConfig(paths),
      found.map((result) => result.layer),
    ),
    warnings: unknownVariables(env),
  };
}

async function readConfigFile(file: string, required: boolean): Promise<string> {
  try {
    return await readFile(file, "utf8");
  } catch (cause) {
    // ENOTDIR: the root is no directory, of which whoever needs it tells.
    if (["ENOENT", "ENOTDIR"].includes(errnoOf(cause) ?? "") && !required) return "";
    throw new GantryError("invalid-config", `${file}: cannot be read: ${messageOf(cause)}`, {
      cause,
      hint: "Check the path and its permissions.",
    });
  }
}

interface LayerResult {
  readonly layer: Layer;
  readonly problems: readonly ConfigProblem[];
}

function fileLayer(text: string, file: string): LayerResult {
  const { document, lines, problems } = parseYaml(text, file);
  const origin = (): string => file;
  if (problems.length > 0) return { layer: { values: {}, origin }, problems };
  let value: unknown;
  try {
    value = document.toJS({ maxAliasCount: 100 }) ?? {};
  } catch (cause) {
    return {
      layer: { values: {}, origin },
      problems: [{ where: file, field: "", message: messageOf(cause), hint: undefined }],
    };
  }
  return checked(value, origin, (path) => locate(document, lines, file, path));
}

function environmentLayer(env: NonNullable<ConfigSources["env"]>): LayerResult {
  const tree: Record<string, unknown> = {};
  for (const setting of settings) {
    const text = env[setting.variable];
    if (text !== undefined && text !== "") put(tree, setting.path, setting.fromText(text));
  }
  return checked(
    tree,
    (setting) => setting.variable,
    (path) => settings.find((setting) => path.join(".").startsWith(setting.path))?.variable ?? "environment",
  );
}

function flagsLayer(flags: ConfigLayer): LayerResult {
  return checked(
    flags,
    () => "flag",
    () => "command line",
  );
}

function checked(
  value: unknown,
  origin: Layer["origin"],
  where: (path: readonly PropertyKey[]) => string,
): LayerResult {
  const result = layerSchema.safeParse(value);
  if (result.success) return { layer: { values: result.data, origin }, problems: [] };
  const known = [...Object.keys(configSchema.shape), ...settings.map((setting) => setting.path)];
  return { layer: { values: {}, origin }, problems: schemaProblems(result.error, layerSchema, value, where, known) };
}

function merge(defaults: Config, layers: readonly Layer[]): Omit<EffectiveConfig, "warnings"> {
  // A section is there, too, when nothing is said in it.
  const sections = settings
    .filter(({ path }) => path.includes("."))
    .map(({ path }) => path.slice(0, path.indexOf(".")));
  const tree: Record<string, unknown> = Object.fromEntries(sections.map((name) => [name, {}]));
  const merged = settings.map((setting): EffectiveSetting => {
    const layer = layers.findLast((candidate) => get(candidate.values, setting.path) !== undefined);
    const value = get(layer?.values ?? defaults, setting.path);
    if (value !== undefined) put(tree, setting.path, value);
    const { path, variable, description } = setting;
    return { path, value, origin: layer?.origin(setting) ?? "default", variable, description };
  });
  const result = configSchema.safeParse(tree);
  if (result.success) return { config: result.data, settings: merged };
  const where = (path: readonly PropertyKey[]): string =>
    merged.find((entry) => path.join(".").startsWith(entry.path))?.origin ?? "default";
  throw configError(schemaProblems(result.error, configSchema, tree, where, []));
}

function unknownVariables(env: NonNullable<ConfigSources["env"]>): string[] {
  const known = settings.map((setting) => setting.variable);
  return Object.keys(env).flatMap((name) => {
    if (!name.startsWith("GANTRY_") || known.includes(name)) return [];
    const hint = nearest(name, known);
    return hint === undefined ? [] : [`${name} is no setting: ${hint}`];
  });
}

function get(tree: unknown, path: string): unknown {
  return path
    .split(".")
    .reduce<unknown>((at, key) => (typeof at === "object" && at !== null ? Reflect.get(at, key) : undefined), tree);
}
