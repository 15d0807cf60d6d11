import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { errnoOf, toGantryError } from "../../system/errors.ts";
import type { Credential } from "../contract.ts";
import { type AuthEntries, credentialsFor, parseDockerConfig } from "./credentials.ts";

/**
 * The host's passwords for an image: from <etc>/auth.json and <etc>/registries.d/*.json.
 * @throws GantryError config-missing (a file is no docker config), invalid-config (can't be read)
 */
export async function hostAuth(
  etc: string,
  name: string,
): Promise<{ readonly credentials: readonly Credential[]; readonly entries: AuthEntries }> {
  const dir = join(etc, "registries.d");
  const files = [join(etc, "auth.json"), ...(await jsonFiles(dir)).map((file) => join(dir, file))];
  const found = await Promise.all(files.map(async (file) => ({ file, entries: await readAuth(file) })));
  return {
    credentials: found.flatMap(({ file, entries }) => credentialsFor(name, entries, file)),
    entries: Object.assign({}, ...found.map(({ entries }) => entries).reverse()),
  };
}

async function jsonFiles(dir: string): Promise<string[]> {
  try {
    return (await readdir(dir)).filter((name) => name.endsWith(".json")).sort();
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return [];
    throw toGantryError(error, "invalid-config", `cannot read ${dir}`);
  }
}

async function readAuth(file: string): Promise<AuthEntries> {
  let text: string;
  try {
    text = await readFile(file, "utf8");
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return {};
    throw toGantryError(error, "invalid-config", `cannot read ${file}`);
  }
  return text.trim() === "" ? {} : parseDockerConfig(text, file);
}
