import { z } from "zod";
import { GantryError } from "../../system/errors.ts";
import type { Credential } from "../contract.ts";
import { parseReference } from "../name.ts";

const entrySchema = z.looseObject({
  auth: z.string().optional(),
  username: z.string().optional(),
  password: z.string().optional(),
  identitytoken: z.string().optional(),
});
const entriesSchema = z.record(z.string(), entrySchema);
/** ~/.docker/config.json, containers-auth.json(5), and Secrets of type kubernetes.io/dockerconfigjson. */
const configSchema = z.looseObject({ auths: entriesSchema.optional() });

/** A docker config file's passwords by what they are for: "registry.example.com", "registry.example.com/team". */
export type AuthEntries = Readonly<Record<string, z.infer<typeof entrySchema>>>;

/** @param what names it for the error, without its content. @throws GantryError config-missing */
export function parseDockerConfig(text: string, what: string): AuthEntries {
  return parse(configSchema, text, what).auths ?? {};
}

/** The older form, Secrets of type kubernetes.io/dockercfg: the entries alone. @throws GantryError config-missing */
export function parseDockercfg(text: string, what: string): AuthEntries {
  return parse(entriesSchema, text, what);
}

function parse<T>(schema: z.ZodType<T>, text: string, what: string): T {
  const fail = (why: string): never => {
    const hint =
      "Make it with 'kubectl create secret docker-registry … --dry-run=client -o yaml', or 'skopeo login --authfile'.";
    // The parser's own message could quote the password.
    throw new GantryError("config-missing", `${what} is no docker config: ${why}`, { hint });
  };
  let document: unknown;
  try {
    document = JSON.parse(text);
  } catch {
    return fail("it is not JSON");
  }
  const result = schema.safeParse(document);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  return fail(issue === undefined ? "it does not match" : `${issue.path.join(".") || "document"}: ${issue.message}`);
}

/** Those that are for the image, the most specific first, as the kubelet looks them up. */
export function credentialsFor(name: string, entries: AuthEntries, from: string): Credential[] {
  const { repository } = parseReference(name);
  return Object.entries(entries)
    .filter(([key]) => matches(key, repository))
    .sort(([a], [b]) => scopeOf(b).length - scopeOf(a).length)
    .flatMap(([, entry]) => toCredential(entry, from));
}

/** "https://index.docker.io/v1/" → "docker.io"; schemes and the API's version say nothing. */
function scopeOf(key: string): string {
  const bare = key.replace(/^https?:\/\//, "").replace(/\/+$/, "");
  const scope = bare.replace(/\/v[12]$/, "");
  const [host = "", ...path] = scope.split("/");
  const known = host === "index.docker.io" || host === "registry-1.docker.io" ? "docker.io" : host;
  return [known, ...path].join("/");
}

/** Labels of the host may be globs ("*.example.com" means one label), the port must be the same, the path a prefix. */
function matches(key: string, repository: string): boolean {
  const [pattern = "", ...wanted] = scopeOf(key).split("/");
  const [host = "", ...path] = repository.split("/");
  const [patternHost = "", patternPort] = splitPort(pattern);
  const [realHost = "", realPort] = splitPort(host);
  if (patternPort !== realPort) return false;
  const globs = patternHost.split(".");
  const labels = realHost.split(".");
  if (globs.length !== labels.length || !globs.every((glob, at) => globMatches(glob, labels[at] ?? ""))) return false;
  // The kubelet takes it as a prefix of the text: "example.com/te" is for "example.com/team/app", too.
  return path.join("/").startsWith(wanted.join("/"));
}

function splitPort(host: string): [string, string | undefined] {
  const match = /^(.*):(\d+)$/.exec(host);
  return match === null ? [host, undefined] : [match[1] ?? "", match[2]];
}

function globMatches(glob: string, label: string): boolean {
  const source = glob
    .replaceAll(/[.+^${}()|\\[\]]/g, "\\$&")
    .replaceAll("*", ".*")
    .replaceAll("?", ".");
  return new RegExp(`^${source}$`, "i").test(label);
}

function toCredential(entry: z.infer<typeof entrySchema>, from: string): Credential[] {
  const decoded =
    entry.auth === undefined ? "" : Buffer.from(entry.auth, "base64").toString("utf8").replace(/\0+$/, "");
  const colon = decoded.indexOf(":");
  const username = entry.username || (colon === -1 ? "" : decoded.slice(0, colon));
  const password = entry.password || (colon === -1 ? "" : decoded.slice(colon + 1));
  if (username === "" && !entry.identitytoken) return [];
  return [
    {
      ...(username === "" ? {} : { username, password }),
      ...(entry.identitytoken ? { identityToken: entry.identitytoken } : {}),
      from,
    },
  ];
}

/**
 * An auth file for skopeo: the host's own entries (mirrors may need them), and `credential` for the image's repository,
 * where it wins over all others.
 */
export function authFileText(name: string, credential: Credential | undefined, host: AuthEntries): string {
  const own = credential && {
    auth: Buffer.from(`${credential.username ?? ""}:${credential.password ?? ""}`).toString("base64"),
    ...(credential.identityToken === undefined ? {} : { identitytoken: credential.identityToken }),
  };
  const normal = Object.fromEntries(
    Object.entries(host).flatMap(([key, { auth, identitytoken, username, password }]) => {
      const text =
        auth ?? (username === undefined ? undefined : Buffer.from(`${username}:${password ?? ""}`).toString("base64"));
      return text === undefined ? [] : [[scopeOf(key), { auth: text, ...(identitytoken ? { identitytoken } : {}) }]];
    }),
  );
  return JSON.stringify({ auths: { ...normal, ...(own && { [parseReference(name).repository]: own }) } });
}
