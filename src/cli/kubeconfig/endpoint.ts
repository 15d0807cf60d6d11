import { readFile } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import type { Endpoint, RemoteEndpoint } from "../../api/client/endpoint.ts";
import { GantryError, messageOf } from "../../system/errors.ts";
import { nearestName } from "../../system/nearest.ts";
import { isNamespaceName } from "../parse/pod-name.ts";
import { type Kubeconfig, kubeconfigFiles, readKubeconfig } from "./read.ts";

/** Which daemon a command is to talk to, as it was asked for. */
export interface RemoteWish {
  /** --host or GANTRY_HOST */
  readonly host: string | undefined;
  /** --kubeconfig */
  readonly kubeconfig: string | undefined;
  /** --context */
  readonly context: string | undefined;
}

/**
 * The daemon that was asked for, with the credentials of a kubeconfig: --host chooses the context whose cluster has that
 * address, or gives the address of the one that --context names.
 * @throws GantryError usage, not-found, unsupported
 */
export async function remoteEndpoint(wish: RemoteWish, env: NodeJS.ProcessEnv): Promise<Endpoint> {
  if (wish.host?.startsWith("unix://")) return { socketPath: wish.host.slice("unix://".length) };
  const { config, files, server, name } = await askedContext(wish, env);
  const context = config.contexts.get(name);
  const held = context && config.clusters.get(context.cluster);
  if (context === undefined || held === undefined) {
    throw new GantryError("usage", `context '${name}' names the cluster '${context?.cluster}', which is not there`, {
      hint: `Look at ${files.join(", ")}.`,
    });
  }
  const { cluster, file } = held;
  const url = server ?? serverUrl(cluster.server);
  const from = `${file}, context ${name}`;
  const authority = await material(cluster, "certificate-authority", file);
  return {
    server: url.origin,
    host: url.hostname.replace(/^\[|\]$/g, ""),
    port: Number(url.port || 443),
    authority,
    serverName: cluster["tls-server-name"],
    insecure: cluster["insecure-skip-tls-verify"],
    ...(await credentials(config, context.user, from)),
    from,
  };
}

/** The namespace of the context that is asked for. @throws as remoteEndpoint does; usage for what can't be a namespace */
export async function remoteNamespace(wish: RemoteWish, env: NodeJS.ProcessEnv): Promise<string | undefined> {
  if (wish.host?.startsWith("unix://")) return undefined;
  const { config, name, files } = await askedContext(wish, env);
  const namespace = config.contexts.get(name)?.namespace || undefined;
  if (namespace === undefined || isNamespaceName(namespace)) return namespace;
  throw new GantryError("usage", `${files.join(", ")}, context ${name}: '${namespace}' is not a name of a namespace`, {
    hint: `Mend it (kubectl config set-context ${name} --namespace=default), or say -n.`,
  });
}

async function askedContext(wish: RemoteWish, env: NodeJS.ProcessEnv) {
  const server = wish.host === undefined ? undefined : serverUrl(wish.host);
  const files = wish.kubeconfig === undefined ? kubeconfigFiles(env) : [wish.kubeconfig];
  const config = await readKubeconfig(files);
  return { config, files, server, name: chooseContext(config, wish.context, server, files) };
}

/** @throws GantryError usage unless it is https://HOST[:PORT] */
export function serverUrl(text: string): URL {
  const url = URL.parse(/^[a-z]+:\/\//i.test(text) ? text : `https://${text}`);
  const bare =
    url !== null && (url.pathname === "/" || url.pathname === "") && url.search === "" && url.username === "";
  if (url !== null && bare && url.protocol === "https:") return url;
  throw new GantryError("usage", `'${text}' is not the address of a Gantry`, {
    hint: "For example: --host https://10.0.0.5:6443, or --host unix:///run/gantry/gantry.sock",
  });
}

function chooseContext(
  config: Kubeconfig,
  wanted: string | undefined,
  server: URL | undefined,
  files: readonly string[],
): string {
  const names = [...config.contexts.keys()];
  if (wanted !== undefined) {
    if (config.contexts.has(wanted)) return wanted;
    const near = nearestName(wanted, names);
    const hint = near === undefined ? `There are: ${names.join(", ") || "none"}.` : `Did you mean '${near}'?`;
    throw new GantryError("not-found", `there is no context '${wanted}' in ${files.join(", ")}`, { hint });
  }
  if (server !== undefined) {
    const serves = (name: string): boolean => {
      const cluster = config.clusters.get(config.contexts.get(name)?.cluster ?? "")?.cluster;
      return cluster !== undefined && URL.parse(cluster.server)?.origin === server.origin;
    };
    const found = config.current !== undefined && serves(config.current) ? config.current : names.find(serves);
    if (found !== undefined) return found;
    throw new GantryError("not-found", `no context in ${files.join(", ")} is for ${server.origin}`, {
      hint: "Get one on that machine ('gantry kubeconfig'), or say with --context whose credentials to use.",
    });
  }
  if (config.current !== undefined && config.contexts.has(config.current)) return config.current;
  throw new GantryError("usage", `${files.join(", ")} has no current context`, {
    hint: `Choose one with --context; there are: ${names.join(", ") || "none"}.`,
  });
}

async function credentials(
  config: Kubeconfig,
  name: string,
  from: string,
): Promise<Pick<RemoteEndpoint, "certificate" | "key" | "token">> {
  const held = config.users.get(name);
  if (held === undefined)
    throw new GantryError("usage", `${from}: there is no user '${name}'`, { hint: "Get a new one: gantry kubeconfig" });
  const { user, file } = held;
  if (user.exec !== undefined || user["auth-provider"] !== undefined) {
    throw new GantryError("unsupported", `${from}: credentials that a program makes are not supported`, {
      hint: "Use a token or a certificate, as 'gantry kubeconfig' makes them.",
    });
  }
  const token = user.token ?? (user.tokenFile && (await readBeside(file, user.tokenFile)).trim());
  if (token !== undefined && token !== "") return { token };
  const certificate = await material(user, "client-certificate", file);
  const key = await material(user, "client-key", file);
  if (certificate !== undefined && key !== undefined) return { certificate, key };
  throw new GantryError("usage", `${from}: user '${name}' has neither a token nor a certificate with its key`, {
    hint: "Get new credentials on that machine: gantry kubeconfig",
  });
}

/** NAME-data is base64 of what NAME is the file of; the former wins, as in kubectl. */
async function material(part: Readonly<Record<string, unknown>>, name: string, file: string) {
  const data = part[`${name}-data`];
  if (typeof data === "string" && data !== "") return Buffer.from(data, "base64").toString("utf8");
  const path = part[name];
  return typeof path === "string" && path !== "" ? readBeside(file, path) : undefined;
}

async function readBeside(file: string, path: string): Promise<string> {
  const whole = resolve(dirname(file), path);
  try {
    return await readFile(whole, "utf8");
  } catch (cause) {
    throw new GantryError("usage", `${file}: ${whole} cannot be read: ${messageOf(cause)}`, { cause });
  }
}
