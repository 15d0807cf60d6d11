import { X509Certificate } from "node:crypto";
import { networkInterfaces } from "node:os";
import type { CredentialRecord, Secret } from "../../api/access/credentials.ts";
import type { Role } from "../../api/access/roles.ts";
import type { Config } from "../../config/index.ts";
import { GantryError, isGantryError } from "../../system/errors.ts";
import type { Context } from "../context.ts";
import type { Entry } from "../kubeconfig/merge.ts";
import type { Call, CommandSpec } from "../spec.ts";
import { listCredentialsCommand } from "./kubeconfig-ls.ts";
import { removeCredentialCommand } from "./kubeconfig-rm.ts";

const DEFAULT_DAYS = 365;
const MAX_DAYS = 3650;
/** One that ends sooner is replaced by --write. ms */
const FRESH_MS = 30 * 86_400_000;

export const kubeconfig: CommandSpec = {
  summary: "Make a kubeconfig, so that kubectl and other machines can talk to this Gantry",
  description:
    "Makes a credential and prints a kubeconfig with it, or puts it into ~/.kube/config (or what KUBECONFIG or\n" +
    "--kubeconfig names), where everything else stays. Needs the setting api.listen; the daemon need not run.\n" +
    "The secret is in the kubeconfig only: whoever has the file may do what it says.",
  options: [
    { flags: "--write", description: "put it into the kubeconfig file, and make it the current context" },
    { flags: "--read-only", description: "look only: no changes, no exec, no Secrets" },
    { flags: "--name <name>", description: "name of the credential (default: admin or view)" },
    { flags: "--server <url>", description: "address under which clients reach this host (default: api.listen)" },
    { flags: "--token", description: "a bearer token" },
    { flags: "--certificate", description: "a client certificate (default)" },
    { flags: "--days <n>", description: `how long it is good for (default: ${DEFAULT_DAYS})` },
  ],
  outputs: ["json", "yaml"],
  ownHost: "but-file",
  examples: [
    { line: "gantry kubeconfig --write", does: "then: kubectl get pods" },
    { line: "gantry kubeconfig --read-only --token --name grafana > grafana.yaml", does: "for a program that looks" },
    { line: "gantry kubeconfig --server https://web1.example.com:6443 > web1.yaml", does: "for another machine" },
    { line: "gantry kubeconfig rm grafana", does: "its credential counts no more, from now on" },
  ],
  subcommands: { list: listCredentialsCommand, ls: listCredentialsCommand, rm: removeCredentialCommand },
  run,
};

async function run({ flags, context }: Call): Promise<undefined> {
  const { out, paths } = context;
  if (flags.on("token") && flags.on("certificate"))
    throw new GantryError("usage", "--token and --certificate can't both be given", { hint: "Give one of them." });
  const role: Role = flags.on("readOnly") ? "view" : "admin";
  const kind = flags.on("token") ? "token" : "certificate";
  const days = flags.integer("days", 1) ?? DEFAULT_DAYS;
  if (days > MAX_DAYS) throw new GantryError("usage", `--days ${days} is more than ${MAX_DAYS}`);
  const { loadConfig } = await import("../../config/index.ts");
  const { accessDir } = await import("../../api/access/keys.ts");
  const { createCredential } = await import("../../api/access/credentials.ts");
  const { kubeconfigOf, writeEntry } = await import("../kubeconfig/merge.ts");
  const { serverUrl } = await import("../kubeconfig/endpoint.ts");
  const config = await loadConfig({ paths, env: context.env });
  const { listen, runs } = await whereItListens(context, config);
  const server = serverUrl(flags.text("server") ?? addressOf(listen)).origin;
  const dir = accessDir(paths);
  const cluster = ["gantry", config.node.name, ...(paths.rootId === "" ? [] : [paths.rootId])].join("-");
  const names = { cluster, context: role === "admin" ? cluster : `${cluster}-view`, server };
  const file = await fileToWrite(context);
  const name = flags.text("name");
  if (flags.on("write")) {
    const held = await heldCredential(dir, file, names, { role, name, kind: explicitKind(flags), now: context.now() });
    if (held !== undefined) {
      out.note(
        `${file} has it already: context ${names.context}, credential ${held.name}, good until ${held.expiresAt}`,
      );
      return undefined;
    }
  }
  const now = context.now();
  const { record, secret, authority } = await createCredential(dir, { name, role, kind, days, now });
  const entry: Entry = { ...names, user: `${record.name}@${cluster}`, authority, secret };
  if (flags.on("write")) {
    const before = await writeEntry(file, entry);
    out.note(`Wrote context ${entry.context} (credential ${record.name}, ${record.role}) to ${file}`);
    if (before !== undefined && before !== entry.context)
      out.note(`It is the current one now. Back to the former: kubectl config use-context ${before}`);
  } else if (out.format === "json") {
    const { parse } = await import("yaml");
    await out.structured(parse(kubeconfigOf(entry)));
  } else {
    out.write(kubeconfigOf(entry));
  }
  if (!runs) out.note("The daemon does not run; it will know the credential when it does.");
  return undefined;
}

function explicitKind(flags: Call["flags"]): Secret["kind"] | undefined {
  if (flags.on("token")) return "token";
  return flags.on("certificate") ? "certificate" : undefined;
}

/** As the daemon has it; as it is configured where none runs. @throws GantryError config-missing when it is off */
async function whereItListens(context: Context, config: Config): Promise<{ listen: string; runs: boolean }> {
  const info = await (await context.client()).daemonInfo().catch((error: unknown) => {
    if (isGantryError(error, "daemon-unreachable")) return undefined;
    throw error;
  });
  const configured = config.api.listen;
  const listen = info === undefined ? configured : info.listen;
  if (listen !== undefined) return { listen, runs: info !== undefined };
  if (configured !== undefined) {
    throw new GantryError("conflict", `the daemon does not serve its API over TLS yet, though api.listen is set`, {
      hint: "Restart it to take the setting up; no pod is disturbed.",
    });
  }
  throw new GantryError("invalid-config", "the API is not served over TLS: api.listen is not set", {
    hint: `Put 'api: { listen: "127.0.0.1:6443" }' into ${context.paths.configFile}, and restart the daemon; no pod is disturbed.`,
  });
}

/** Of an address that stands for all, the first that others reach. */
function addressOf(listen: string): string {
  if (!listen.startsWith("0.0.0.0:") && !listen.startsWith("[::]:")) return `https://${listen}`;
  const port = listen.slice(listen.lastIndexOf(":") + 1);
  const others = Object.entries(networkInterfaces())
    .filter(([device]) => !/^(lo|gantry|gnt|veth|cni|docker|podman|br-|tap)/.test(device))
    .flatMap(([, addresses]) => addresses ?? [])
    .find(({ family, internal }) => family === "IPv4" && !internal);
  return `https://${others?.address ?? "127.0.0.1"}:${port}`;
}

async function fileToWrite(context: Context): Promise<string> {
  const { kubeconfigFiles } = await import("../kubeconfig/read.ts");
  return context.remote?.kubeconfig ?? kubeconfigFiles(context.env)[0] ?? "";
}

/** The credential that the file has for this Gantry, if it still counts and is what is asked for. */
async function heldCredential(
  dir: string,
  file: string,
  names: Pick<Entry, "cluster" | "context" | "server">,
  wanted: { role: Role; name: string | undefined; kind: Secret["kind"] | undefined; now: number },
): Promise<CredentialRecord | undefined> {
  const { readKubeconfig } = await import("../kubeconfig/read.ts");
  const { certificateHash, listCredentials, tokenHash } = await import("../../api/access/credentials.ts");
  const { heldAuthority } = await import("../../api/access/keys.ts");
  const config = await readKubeconfig([file]).catch((error: unknown) => {
    if (isGantryError(error, "not-found")) return undefined;
    throw error;
  });
  const cluster = config?.clusters.get(names.cluster)?.cluster;
  const user = config?.users.get(config.contexts.get(names.context)?.user ?? "")?.user;
  const authority = (await heldAuthority(dir))?.certificate;
  if (config?.current !== names.context || cluster?.server !== names.server || user === undefined) return undefined;
  if (decoded(cluster["certificate-authority-data"]) !== authority) return undefined;
  const certificate = decoded(user["client-certificate-data"]);
  const hash = user.token === undefined ? certificateHash(new X509Certificate(certificate)) : tokenHash(user.token);
  return (await listCredentials(dir)).find(
    (one) =>
      one.sha256 === hash &&
      one.role === wanted.role &&
      (wanted.name === undefined || one.name === wanted.name) &&
      (wanted.kind === undefined || one.kind === wanted.kind) &&
      Date.parse(one.expiresAt) - wanted.now > FRESH_MS,
  );
}

const decoded = (data: string | undefined): string => Buffer.from(data ?? "", "base64").toString("utf8");
