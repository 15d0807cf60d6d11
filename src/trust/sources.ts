/** Reads a policy with the keys that it names, so that what is decided by can't change under our hands. */
import { readFile, stat } from "node:fs/promises";
import { isAbsolute, resolve, sep } from "node:path";
import { errnoOf, GantryError, messageOf } from "../system/errors.ts";
import { type Policy, parsePolicy, type Requirement } from "./policy.ts";

/** A requirement with its key inside, and where the key came from, for people. */
export interface LoadedRequirement {
  readonly requirement: Requirement;
  /** Names of the key's files; "key" for one that the policy holds itself. */
  readonly keyNames: readonly string[];
}

export interface LoadedPolicy {
  /** The file, for people. */
  readonly file: string;
  readonly policy: Policy;
  /** The requirements of the default and of every scope, keys inside. */
  readonly default: readonly LoadedRequirement[];
  readonly scopes: ReadonlyMap<string, readonly LoadedRequirement[]>;
  /** Changes when the policy's file or one of its keys does. */
  readonly stamps: ReadonlyMap<string, string>;
}

/**
 * @param keyRoot paths of keys are relative to it, and may not leave it; without it they are absolute
 * @returns undefined when there is no such file
 * @throws GantryError invalid-config, with line and column
 */
export async function loadPolicy(file: string, keyRoot?: string): Promise<LoadedPolicy | undefined> {
  const stamps = new Map([[file, await stampOf(file)]]);
  let text: string;
  try {
    text = await readFile(file, "utf8");
  } catch (error) {
    if (errnoOf(error) === "ENOENT" || errnoOf(error) === "ENOTDIR") return undefined;
    throw new GantryError("invalid-config", `${file}: cannot be read: ${messageOf(error)}`, {
      cause: error,
      hint: "Check its permissions.",
    });
  }
  const policy = parsePolicy(keyRoot === undefined ? text : withAbsoluteKeys(text, keyRoot, file), file);
  const load = async (requirements: readonly Requirement[]): Promise<LoadedRequirement[]> =>
    await Promise.all(requirements.map((requirement) => loadRequirement(requirement, file, stamps)));
  const scopes = new Map<string, LoadedRequirement[]>();
  for (const [scope, requirements] of Object.entries(policy.transports?.docker ?? {}))
    scopes.set(scope, await load(requirements));
  return { file, policy, default: await load(policy.default), scopes, stamps };
}

/** Tells whether a file is another one than before; "" when it is not there. */
export async function stampOf(file: string): Promise<string> {
  try {
    const { ino, mtimeNs, size } = await stat(file, { bigint: true });
    return `${ino} ${mtimeNs} ${size}`;
  } catch {
    return "";
  }
}

/** Whether everything that a policy was read from is as it was. */
export async function isCurrent(stamps: ReadonlyMap<string, string>): Promise<boolean> {
  for (const [file, stamp] of stamps) if ((await stampOf(file)) !== stamp) return false;
  return true;
}

async function loadRequirement(
  requirement: Requirement,
  file: string,
  stamps: Map<string, string>,
): Promise<LoadedRequirement> {
  if (requirement.type !== "signedBy" && requirement.type !== "sigstoreSigned") return { requirement, keyNames: [] };
  const paths =
    requirement.keyPath !== undefined
      ? [requirement.keyPath]
      : requirement.type === "signedBy"
        ? (requirement.keyPaths ?? [])
        : [];
  if (paths.length === 0) return { requirement, keyNames: ["key"] };
  const contents: Buffer[] = [];
  for (const path of paths) {
    stamps.set(path, await stampOf(path));
    contents.push(
      await readFile(path).catch((cause: unknown) => {
        const hint = "Put the key back, or change the rule: gantry trust add --replace.";
        throw new GantryError("invalid-config", `${file}: key ${path} cannot be read: ${messageOf(cause)}`, {
          cause,
          hint,
        });
      }),
    );
  }
  const keyData = joinKeys(contents).toString("base64");
  const { signedIdentity } = requirement;
  const identity = signedIdentity === undefined ? {} : { signedIdentity };
  return {
    requirement:
      requirement.type === "signedBy"
        ? { type: "signedBy", keyType: "GPGKeys", keyData, ...identity }
        : { type: "sigstoreSigned", keyData, ...identity },
    keyNames: paths.map((path) => path.slice(path.lastIndexOf("/") + 1)),
  };
}

/** Binary keyrings are joined as they are; armoured ones need a line's end between them. */
export function joinKeys(contents: readonly Buffer[]): Buffer {
  const newline = Buffer.from("\n");
  return Buffer.concat(
    contents.flatMap((content, at) => {
      const armoured = content.subarray(0, 5).toString("latin1") === "-----";
      return at > 0 && armoured && contents[at - 1]?.at(-1) !== 0x0a ? [newline, content] : [content];
    }),
  );
}

/** What a followed repository says about paths is not to reach the rest of this host. */
function withAbsoluteKeys(text: string, root: string, file: string): string {
  const document = tryParse(text);
  return document === undefined ? text : JSON.stringify(mapKeys(document, (path) => inside(path, root, file)));
}

/**
 * The keys that a followed policy names, relative to it.
 * @throws GantryError invalid-config for a path that leads elsewhere
 */
export function relativeKeys(text: string, root: string, file: string): string[] {
  const found = new Set<string>();
  mapKeys(tryParse(text), (path) => {
    found.add(inside(path, root, file).slice(root.length + 1));
    return path;
  });
  return [...found];
}

function inside(path: string, root: string, file: string): string {
  const full = resolve(root, path);
  if (!isAbsolute(path) && full.startsWith(root + sep)) return full;
  throw new GantryError("invalid-config", `${file}: keyPath ${JSON.stringify(path)} must be relative to the policy`, {
    hint: "Name a key that is a target of the same repository, such as keys/release.pub.",
  });
}

/** A copy of a document in which every path of a key is another one. */
function mapKeys(value: unknown, change: (path: string) => string): unknown {
  if (Array.isArray(value)) return value.map((one) => mapKeys(one, change));
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]) => {
      if (key === "keyPath" && typeof inner === "string") return [key, change(inner)];
      if (key === "keyPaths" && Array.isArray(inner)) return [key, inner.map((one) => change(String(one)))];
      return [key, mapKeys(inner, change)];
    }),
  );
}

/** Undefined for what is no JSON: parsePolicy says what is wrong with it. */
function tryParse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
