import { readdir, readFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { z } from "zod";
import { errnoOf, GantryError, messageOf } from "../system/errors.ts";
import { isGenerated } from "./own-conflist.ts";

/** CNI network configuration, as the specification has it (github.com/containernetworking/cni, SPEC.md). Keys of plugins pass through. */
const pluginSchema = z.looseObject({
  type: z.string().regex(/^[^/]+$/, "must be the name of a plugin, without a path"),
  capabilities: z.record(z.string(), z.boolean()).optional(),
});

export const conflistSchema = z.looseObject({
  name: z
    .string()
    .regex(
      /^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/,
      "must start with a letter or digit and hold only letters, digits, '_', '.', '-'",
    ),
  cniVersion: z.string().regex(/^\d+\.\d+\.\d+$/, "must be a version such as 1.0.0"),
  plugins: z.array(pluginSchema).min(1, "must name at least one plugin"),
});
export type Conflist = z.infer<typeof conflistSchema>;

export interface FoundConflist {
  readonly file: string;
  readonly conflist: Conflist;
  /** True when Gantry wrote it and nobody changed it since. */
  readonly own: boolean;
}

/** Where Gantry's networks, and everyone's, are configured. */
const SHARED_FOLDER = "/etc/cni/net.d";

/**
 * The network to use: the one that `wanted` names (a path, or the name of a network in `folder` or /etc/cni/net.d);
 * else the first file in `folder` that is the user's, else Gantry's own.
 * @returns undefined when `folder` holds none
 * @throws network-failed (broken file, no such network)
 */
export async function chooseConflist(folder: string, wanted: string | undefined): Promise<FoundConflist | undefined> {
  if (wanted?.includes("/")) return readConflist(wanted);
  const files = await listConflists(folder);
  if (wanted !== undefined) return findByName(wanted, [...files, ...(await listConflists(SHARED_FOLDER))]);
  let own: FoundConflist | undefined;
  for (const file of files) {
    const found = await readConflist(file);
    if (!found.own) return found;
    own = found;
  }
  return own;
}

async function findByName(name: string, files: readonly string[]): Promise<FoundConflist> {
  const found = await Promise.all(files.map(readConflist));
  const match = found.find((candidate) => candidate.conflist.name === name);
  if (match !== undefined) return match;
  const names = found.map((candidate) => candidate.conflist.name).join(", ") || "none";
  throw new GantryError("network-failed", `there is no CNI network named '${name}' (found: ${names})`, {
    hint: "Set network.conflist to one of these or to the path of a conflist.",
  });
}

async function listConflists(folder: string): Promise<string[]> {
  const names = await readdir(folder).catch((error: unknown) => {
    if (errnoOf(error) === "ENOENT") return [];
    throw broken(folder, messageOf(error), error);
  });
  return names
    .filter((name) => /\.(conflist|conf|json)$/.test(name))
    .sort()
    .map((name) => join(folder, name));
}

/** Reads a conflist, or the older form with a single plugin. @throws network-failed */
export async function readConflist(file: string): Promise<FoundConflist> {
  let value: unknown;
  try {
    value = JSON.parse(await readFile(file, "utf8"));
  } catch (error) {
    throw broken(file, messageOf(error), error);
  }
  const own = isGenerated(value);
  const result = conflistSchema.safeParse(asList(value, file));
  if (result.success) return { file, conflist: result.data, own };
  const [issue] = result.error.issues;
  throw broken(
    file,
    issue === undefined ? "is no CNI network" : `${issue.path.join(".") || "the file"}: ${issue.message}`,
    result.error,
  );
}

/** libcni's rule: a file without `plugins` is one plugin's configuration. */
function asList(value: unknown, file: string): unknown {
  if (typeof value !== "object" || value === null || "plugins" in value || !("type" in value)) return value;
  const name = "name" in value ? value.name : basename(file).replace(/\.[^.]*$/, "");
  return { name, cniVersion: "cniVersion" in value ? value.cniVersion : "0.4.0", plugins: [value] };
}

function broken(file: string, why: string, cause: unknown): GantryError {
  return new GantryError("network-failed", `CNI network ${file}: ${why}`, {
    cause,
    hint: "Correct the file or remove it; without one Gantry writes its own.",
  });
}

/** True when a plugin of the network maps host ports by itself. */
export function mapsPorts(conflist: Conflist): boolean {
  return conflist.plugins.some((plugin) => plugin.capabilities?.["portMappings"] === true);
}
