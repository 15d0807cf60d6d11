/** Sources that were added by hand: one file each, beside the configuration. */
import { mkdir, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { parse, stringify } from "yaml";
import { errnoOf, GantryError, messageOf } from "../../system/errors.ts";
import { type GitSourceInput, type GitSourceSpec, gitSourceSchema } from "./schema.ts";

/** Below the folder of the configuration. */
export function specFolder(etc: string): string {
  return join(etc, "sources.d");
}

export interface SpecFiles {
  readonly specs: readonly GitSourceSpec[];
  /** Files that can't be read: what they are called, and why. */
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
      const spec = parseSpec(parse(await readFile(join(folder, file), "utf8"), { maxAliasCount: 0 }));
      if (spec.name !== name) throw new GantryError("invalid-config", `name: must be ${name}, as the file is called`);
      specs.push(spec);
    } catch (error) {
      broken.push({ name, message: `${join(folder, file)}: ${messageOf(error)}` });
    }
  }
  return { specs, broken };
}

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
