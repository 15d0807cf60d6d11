/** The passwords that a pod's imagePullSecrets hold for an image. Pure. */
import type { Credential } from "../../image/contract.ts";
import { type AuthEntries, credentialsFor, parseDockerConfig, parseDockercfg } from "../../image/pull/credentials.ts";
import type { Pod, Secret } from "../../manifest/index.ts";
import { GantryError, messageOf } from "../../system/errors.ts";

export interface PullSecrets {
  readonly credentials: readonly Credential[];
  /** Secrets that are not there, or hold something else: said, and then done without, as the kubelet does. */
  readonly problems: readonly string[];
}

/** @param image as the manifest has it. @throws GantryError name-invalid */
export function pullSecretsFor(pod: Pod, image: string, find: (name: string) => Secret | undefined): PullSecrets {
  const { namespace } = pod.metadata;
  const problems: string[] = [];
  const credentials = (pod.spec.imagePullSecrets ?? []).flatMap(({ name = "" }) => {
    const secret = name === "" ? undefined : find(name);
    if (secret === undefined) {
      problems.push(`secret "${name}" of imagePullSecrets not found in namespace ${namespace}`);
      return [];
    }
    const from = `Secret ${namespace}/${name}`;
    try {
      return credentialsFor(image, entriesOf(secret, from), from);
    } catch (error) {
      if (!(error instanceof GantryError) || error.code !== "config-missing") throw error;
      problems.push(error.hint === undefined ? messageOf(error) : `${error.message}: ${error.hint}`);
      return [];
    }
  });
  return { credentials, problems };
}

function entriesOf(secret: Secret, what: string): AuthEntries {
  switch (secret.type) {
    case "kubernetes.io/dockerconfigjson":
      return parseDockerConfig(textOf(secret, ".dockerconfigjson", what), what);
    case "kubernetes.io/dockercfg":
      return parseDockercfg(textOf(secret, ".dockercfg", what), what);
    default:
      throw new GantryError(
        "config-missing",
        `${what} has the type ${secret.type}, which holds no registry passwords`,
        {
          hint: "Its type must be kubernetes.io/dockerconfigjson.",
        },
      );
  }
}

function textOf(secret: Secret, key: string, what: string): string {
  const text = secret.stringData?.[key];
  if (text !== undefined) return text;
  const encoded = secret.data?.[key];
  if (encoded !== undefined) return Buffer.from(encoded, "base64").toString("utf8");
  throw new GantryError("config-missing", `${what} has no key ${key}`, {
    hint: `A Secret of type ${secret.type} holds its passwords there.`,
  });
}
