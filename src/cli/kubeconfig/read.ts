import { readFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { parseDocument } from "yaml";
import { z } from "zod";
import { errnoOf, GantryError, messageOf } from "../../system/errors.ts";

/** What Gantry reads of a kubeconfig (v1 Config of client-go); everything else in it is left alone. */
const cluster = z.looseObject({
  server: z.string(),
  "certificate-authority": z.string().optional(),
  "certificate-authority-data": z.string().optional(),
  "insecure-skip-tls-verify": z.boolean().optional(),
  "tls-server-name": z.string().optional(),
});
const user = z.looseObject({
  "client-certificate": z.string().optional(),
  "client-certificate-data": z.string().optional(),
  "client-key": z.string().optional(),
  "client-key-data": z.string().optional(),
  token: z.string().optional(),
  tokenFile: z.string().optional(),
  exec: z.unknown().optional(),
  "auth-provider": z.unknown().optional(),
});
const context = z.looseObject({ cluster: z.string(), user: z.string(), namespace: z.string().nullish() });
/** What is in them is looked at one by one: a broken entry of somebody else is none of our business. */
const schema = z.looseObject({
  clusters: z.array(z.looseObject({ name: z.string(), cluster: z.unknown() })).nullish(),
  users: z.array(z.looseObject({ name: z.string(), user: z.unknown() })).nullish(),
  contexts: z.array(z.looseObject({ name: z.string(), context: z.unknown() })).nullish(),
  "current-context": z.string().nullish(),
});

export type Cluster = z.infer<typeof cluster>;
export type User = z.infer<typeof user>;
export type Context = z.infer<typeof context>;

/** One file, or several as one; the first that has a name decides. */
export interface Kubeconfig {
  /** With the file that each is from: paths in it are relative to that. */
  readonly clusters: ReadonlyMap<string, { readonly file: string; readonly cluster: Cluster }>;
  readonly users: ReadonlyMap<string, { readonly file: string; readonly user: User }>;
  readonly contexts: ReadonlyMap<string, Context>;
  readonly current: string | undefined;
}

/** Where kubectl looks: what KUBECONFIG lists, else ~/.kube/config. */
export function kubeconfigFiles(env: NodeJS.ProcessEnv): string[] {
  const listed = (env["KUBECONFIG"] ?? "").split(":").filter((file) => file !== "");
  return listed.length > 0 ? listed : [join(env["HOME"] || homedir(), ".kube", "config")];
}

/**
 * Reads kubeconfig files; those that are not there count as empty, but for the only one.
 * @throws GantryError not-found, usage (it is no kubeconfig; with line and column where it is no YAML)
 */
export async function readKubeconfig(files: readonly string[]): Promise<Kubeconfig> {
  const clusters = new Map<string, { file: string; cluster: Cluster }>();
  const users = new Map<string, { file: string; user: User }>();
  const contexts = new Map<string, Context>();
  let current: string | undefined;
  let found = 0;
  for (const file of files) {
    const text = await readText(file);
    if (text === undefined) continue;
    found += 1;
    const parsed = parseKubeconfig(text, file);
    current ??= parsed["current-context"] || undefined;
    for (const { name, cluster: one } of parsed.clusters ?? []) {
      const value = cluster.safeParse(one);
      if (value.success && !clusters.has(name)) clusters.set(name, { file, cluster: value.data });
    }
    for (const { name, user: one } of parsed.users ?? []) {
      const value = user.safeParse(one ?? {});
      if (value.success && !users.has(name)) users.set(name, { file, user: value.data });
    }
    for (const { name, context: one } of parsed.contexts ?? []) {
      const value = context.safeParse(one);
      if (value.success && !contexts.has(name)) contexts.set(name, value.data);
    }
  }
  if (found > 0) return { clusters, users, contexts, current };
  throw new GantryError("not-found", `there is no kubeconfig at ${files.join(", ")}`, {
    hint: "Get one on the machine that you want to talk to: gantry kubeconfig > FILE; then give it with --kubeconfig.",
  });
}

/** Undefined for a file that is not there. */
export async function readText(file: string): Promise<string | undefined> {
  try {
    return await readFile(file, "utf8");
  } catch (cause) {
    if (errnoOf(cause) === "ENOENT" || errnoOf(cause) === "ENOTDIR") return undefined;
    throw new GantryError("usage", `${file} cannot be read: ${messageOf(cause)}`, { cause });
  }
}

/** @throws GantryError usage */
export function parseKubeconfig(text: string, file: string): z.infer<typeof schema> {
  const document = parseDocument(text);
  const [error] = document.errors;
  const hint = "Is it the right file? See 'kubectl config view'.";
  if (error !== undefined) {
    const at = error.linePos?.[0];
    const place = at === undefined ? file : `${file}:${at.line}:${at.col}`;
    throw new GantryError("usage", `${place}: not YAML: ${error.message.split("\n")[0]}`, { hint });
  }
  const result = schema.safeParse(document.toJS() ?? {});
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  throw new GantryError("usage", `${file}: not a kubeconfig: ${issue?.path.join(".")}: ${issue?.message}`, { hint });
}
