/**
 * Git, run so that neither a repository nor its URL can make it do anything else than fetch and read: no hooks, no
 * configuration of the host or the repository's users, no helper programs, no questions, and only some transports.
 */
import type { Stats } from "node:fs";
import { readFile, stat } from "node:fs/promises";
import { GantryError, isGantryError, messageOf } from "../../system/errors.ts";
import { type ExecResult, exec } from "../../system/exec.ts";
import type { GitSourceSpec } from "./schema.ts";
import { parseRepositoryUrl, type RepositoryUrl, withoutSecrets } from "./url.ts";

export interface GitRunOptions {
  readonly signal: AbortSignal;
  readonly timeoutMs?: number;
  readonly input?: string;
  readonly okCodes?: readonly number[] | "any";
  /** Bytes as they are, one a character, instead of UTF-8. */
  readonly binary?: true;
  readonly maxOutputBytes?: number;
  /** More configuration, and more environment, of this call. */
  readonly config?: readonly (readonly [string, string])[];
  readonly env?: Readonly<Record<string, string>>;
}

export type RunGit = (args: readonly string[], options: GitRunOptions) => Promise<ExecResult>;

const LOCAL_TIMEOUT_MS = 60_000;
/** Proxies are the host's business, and have no other place. */
const PASSED_ON = ["http_proxy", "https_proxy", "HTTPS_PROXY", "no_proxy", "NO_PROXY", "all_proxy", "ALL_PROXY"];

/** Configuration that wins over whatever stands in a repository (git-config(1), GIT_CONFIG_COUNT). */
const FIXED: readonly (readonly [string, string])[] = [
  ["core.hooksPath", "/dev/null"],
  ["core.fsmonitor", "false"],
  ["core.sshCommand", "false"],
  ["core.askPass", "true"],
  ["gc.auto", "0"],
  ["maintenance.auto", "false"],
  ["fetch.fsckObjects", "false"],
  ["fetch.recurseSubmodules", "false"],
  ["fetch.showForcedUpdates", "false"],
  ["advice.detachedHead", "false"],
  ["protocol.version", "2"],
  ["http.lowSpeedLimit", "100"],
  ["http.lowSpeedTime", "30"],
  ["log.showSignature", "false"],
];

/** Runs Git on a bare repository. @throws GantryError as `exec` does, with nothing secret in its message */
export function createGit(gitDir: string): RunGit {
  return async (args, options) => {
    const config = [...FIXED, ...(options.config ?? [])];
    const env: Record<string, string> = {
      PATH: process.env["PATH"] ?? "/usr/sbin:/usr/bin:/sbin:/bin",
      HOME: gitDir,
      LANG: "C",
      GIT_DIR: gitDir,
      GIT_CONFIG_NOSYSTEM: "1",
      GIT_CONFIG_GLOBAL: "/dev/null",
      GIT_ATTR_NOSYSTEM: "1",
      GIT_TERMINAL_PROMPT: "0",
      GIT_ASKPASS: "true",
      SSH_ASKPASS: "true",
      GIT_OPTIONAL_LOCKS: "0",
      GIT_NO_REPLACE_OBJECTS: "1",
      GIT_ALLOW_PROTOCOL: "https:http:ssh:git:file",
      GIT_CONFIG_COUNT: String(config.length),
      ...options.env,
    };
    for (const name of PASSED_ON) {
      const value = process.env[name];
      if (value !== undefined) env[name] = value;
    }
    config.forEach(([key, value], index) => {
      env[`GIT_CONFIG_KEY_${index}`] = key;
      env[`GIT_CONFIG_VALUE_${index}`] = value;
    });
    try {
      return await exec("git", args, {
        signal: options.signal,
        timeoutMs: options.timeoutMs ?? LOCAL_TIMEOUT_MS,
        env,
        installHint: "Install git (apt-get install git).",
        ...(options.input !== undefined && { input: options.input }),
        ...(options.okCodes !== undefined && { okCodes: options.okCodes }),
        ...(options.binary === true && { outputEncoding: "latin1" as const }),
        ...(options.maxOutputBytes !== undefined && { maxOutputBytes: options.maxOutputBytes }),
      });
    } catch (error) {
      if (!isGantryError(error)) throw error;
      const stderr = typeof error.details["stderr"] === "string" ? error.details["stderr"] : "";
      throw new GantryError(error.code, withoutSecrets(error.message), {
        kind: error.kind,
        ...(error.hint !== undefined && { hint: error.hint }),
        details: { exitCode: error.details["exitCode"], stderr: withoutSecrets(stderr) },
      });
    }
  };
}

/** What one call to a remote needs beyond its arguments. */
export interface RemoteAccess {
  readonly url: string;
  readonly transport: RepositoryUrl["transport"];
  readonly config: readonly (readonly [string, string])[];
  readonly env: Readonly<Record<string, string>>;
}

/** How a source's remote is reached; key and password files are read anew, as they may have changed. @throws GantryError invalid-config */
export async function remoteAccess(spec: GitSourceSpec): Promise<RemoteAccess> {
  const parsed = parseRepositoryUrl(spec.url);
  if (typeof parsed === "string") throw new GantryError("invalid-config", `the URL ${parsed}`);
  const { url, transport } = parsed;
  const config: [string, string][] = [["protocol.file.allow", transport === "file" ? "always" : "never"]];
  const env: Record<string, string> = { GIT_ALLOW_PROTOCOL: transport === "https" ? "https" : transport };
  if (transport === "ssh") {
    await checkKeyFile(spec.sshKey);
    await checkFile("knownHosts", spec.knownHosts, "ssh-keyscan HOST writes such a file; compare the fingerprint.");
    config.push(["core.sshCommand", sshCommand(spec)]);
    env["GIT_SSH_VARIANT"] = "ssh";
  }
  if (transport === "https" || transport === "http") {
    const password = spec.passwordFile === undefined ? parsed.password : await readSecret(spec.passwordFile);
    const user = spec.username ?? parsed.user ?? (password === undefined ? undefined : "git");
    if (password !== undefined || user !== undefined) {
      // For this host alone: a redirect elsewhere gets nothing.
      const { origin } = new URL(url);
      config.push([`credential.${origin}.helper`, CREDENTIALS]);
      env["GANTRY_GIT_USER"] = user ?? "";
      env["GANTRY_GIT_PASSWORD"] = password ?? "";
    }
    await checkFile("caFile", spec.caFile, "Name the file with the certificate of the authority, in PEM.");
    if (spec.caFile !== undefined) config.push(["http.sslCAInfo", spec.caFile]);
  }
  return { url, transport, config, env };
}

/** git-credential(1): the answer of a helper that only knows what its environment says. */
const CREDENTIALS =
  '!f() { test "$1" = get && printf "username=%s\\npassword=%s\\n" "$GANTRY_GIT_USER" "$GANTRY_GIT_PASSWORD"; }; f';

/** Hosts must be known, nothing is asked, and no configuration of root's is used. */
function sshCommand({ sshKey, knownHosts }: GitSourceSpec): string {
  const options = [
    "BatchMode=yes",
    "StrictHostKeyChecking=yes",
    "UpdateHostKeys=no",
    "PasswordAuthentication=no",
    "ForwardAgent=no",
    "PermitLocalCommand=no",
    "ConnectTimeout=20",
    "ServerAliveInterval=10",
    "ServerAliveCountMax=3",
    ...(knownHosts === undefined ? [] : [`UserKnownHostsFile="${knownHosts}"`, "GlobalKnownHostsFile=/dev/null"]),
    ...(sshKey === undefined ? [] : ["IdentitiesOnly=yes", "IdentityAgent=none", `IdentityFile="${sshKey}"`]),
  ];
  return ["ssh", "-F", "none", ...options.flatMap((option) => ["-o", `'${option}'`])].join(" ");
}

/** ssh itself only says that it is not let in. @throws GantryError invalid-config */
async function checkKeyFile(path: string | undefined): Promise<void> {
  const found = await checkFile("sshKey", path, "ssh-keygen -t ed25519 -f FILE makes one.");
  if (found === undefined || (found.mode & 0o077) === 0) return;
  const mode = (found.mode & 0o777).toString(8).padStart(4, "0");
  throw new GantryError(
    "invalid-config",
    `the sshKey ${path} may be read by others (mode ${mode}), so ssh refuses it`,
    {
      hint: `Make it root's alone: chmod 600 ${path}`,
    },
  );
}

async function checkFile(field: string, path: string | undefined, hint: string): Promise<Stats | undefined> {
  if (path === undefined) return undefined;
  try {
    const found = await stat(path);
    if (found.isFile()) return found;
  } catch (cause) {
    throw new GantryError("invalid-config", `the ${field} of the source can't be read: ${messageOf(cause)}`, {
      cause,
      hint,
    });
  }
  throw new GantryError("invalid-config", `the ${field} of the source, ${path}, is no file`, { hint });
}

async function readSecret(path: string): Promise<string> {
  try {
    return (await readFile(path, "utf8")).replace(/\r?\n$/, "");
  } catch (cause) {
    throw new GantryError("invalid-config", `the password file can't be read: ${messageOf(cause)}`, {
      cause,
      hint: "Check passwordFile of the source, and the permissions of the file.",
    });
  }
}
