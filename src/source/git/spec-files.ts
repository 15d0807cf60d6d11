/** Sources that were added by hand: one file each, beside the configuration. */
import { mkdir, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { parse, stringify } from "yaml";
import { configError, locate, parseYaml, schemaProblems } from "../../config/problems.ts";
import { errnoOf, GantryError, messageOf } from "../../system/errors.ts";
import { type GitSourceInput, type GitSourceSpec, gitSourceSchema, isSourceName } from "./schema.ts";

/** Below the folder of the configuration. */
export function specFolder(etc: string): string {
  return join(etc, "sources.d");
}

export interface SpecFiles {
  readonly specs: readonly GitSourceSpec[];
  /** Files that can't be read: what they are called, and why. "" is the folder itself. */
  readonly broken: readonly { readonly name: string; readonly message: string }[];
}

/** Never throws: a broken file is told, and keeps nobody else from being followed. */
export async function readSpecFiles(etc: string): Promise<SpecFiles> {
  const folder = specFolder(etc);
  const specs: GitSourceSpec[] = [];
  const broken: { name: string; message: string }[] = [];
  let names: string[] = [];
  try {
    names = (await readdir(folder)).filter((name) => /^[^.].*\.yaml$/.test(name)).sort();
  } catch (error) {
    if (errnoOf(error) !== "ENOENT") broken.push({ name: "", message: `${folder}: ${messageOf(error)}` });
  }
  for (const file of names) {
    const name = file.slice(0, -".yaml".length);
    try {
      specs.push(parseSpecFile(join(folder, file), await readFile(join(folder, file), "utf8")));
    } catch (error) {
      broken.push({ name, message: messageOf(error).replaceAll("\n", "; ") });
    }
  }
  return { specs, broken };
}

/** What the file of one source says, without defaults; undefined where there is none. @throws GantryError invalid-config */
export async function readSpecInput(etc: string, name: string): Promise<GitSourceInput | undefined> {
  if (!isSourceName(name)) return undefined;
  const path = join(specFolder(etc), `${name}.yaml`);
  try {
    const text = await readFile(path, "utf8");
    parseSpecFile(path, text);
    const input: GitSourceInput = parse(text); // which was just found to be one
    return input;
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return undefined;
    throw error;
  }
}

/** @throws GantryError invalid-config that names every problem with its line and column */
function parseSpecFile(path: string, text: string): GitSourceSpec {
  const { document, lines, problems } = parseYaml(text, path);
  if (problems.length > 0) throw configError(problems);
  const value: unknown = document.toJS({ maxAliasCount: 0 });
  const result = gitSourceSchema.safeParse(value);
  const where = (field: readonly PropertyKey[]): string => locate(document, lines, path, field);
  if (!result.success) throw configError(schemaProblems(result.error, gitSourceSchema, value, where, FIELDS));
  const name = basename(path, ".yaml");
  if (result.data.name === name) return result.data;
  const problem = { where: where(["name"]), field: "name", message: `must be ${name}, as the file is called` };
  throw configError([{ ...problem, hint: undefined }]);
}

const FIELDS = Object.keys(gitSourceSchema.shape);

/** @throws GantryError invalid-config that names every field that is wrong */
export function parseSpec(value: unknown): GitSourceSpec {
  const result = gitSourceSchema.safeParse(value);
  if (result.success) return result.data;
  const lines = result.error.issues.map(({ path, message }) =>
    [path.join("."), message].filter((part) => part !== "").join(": "),
  );
  throw new GantryError("invalid-config", lines.join("; "));
}

/** Written beside it and renamed, root's alone: a URL may hold a password. */
export async function writeSpecFile(etc: string, input: GitSourceInput): Promise<string> {
  const folder = specFolder(etc);
  const path = join(folder, `${input.name}.yaml`);
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const draft = join(folder, `.${input.name}.yaml.new`);
  await writeFile(draft, stringify(input), { mode: 0o600 });
  await rename(draft, path);
  return path;
}

/** @returns false when there is none */
export async function removeSpecFile(etc: string, name: string): Promise<boolean> {
  try {
    await rm(join(specFolder(etc), `${name}.yaml`));
    return true;
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return false;
    throw error;
  }
}
