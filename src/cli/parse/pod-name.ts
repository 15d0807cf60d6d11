import { GantryError } from "../../system/errors.ts";

export const DEFAULT_NAMESPACE = "default";

export interface PodRef {
  readonly namespace: string;
  readonly name: string;
  /** False when the namespace is only the default one: hints can then suggest another. */
  readonly namespaceGiven: boolean;
}

/** Where a name without a namespace is looked for. */
export interface Namespaces {
  /** What -n said. */
  readonly namespace: string | undefined;
  /** What the context of a kubeconfig says, which anything that is typed wins over. */
  readonly defaultNamespace?: string | undefined;
}

const KINDS = new Set(["pod", "pods", "po"]);
// RFC 1123: pod names are subdomains, namespaces labels.
const SUBDOMAIN = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;

/**
 * Reads a pod argument: NAME, NAMESPACE/NAME or pod/NAME.
 *
 * @param where what -n said, and what else there is to know
 * @throws GantryError `usage`
 */
export function parsePodRef(text: string, where: string | undefined | Namespaces): PodRef {
  const { namespace, defaultNamespace } =
    typeof where === "object" ? where : { namespace: where, defaultNamespace: undefined };
  const [first = "", second, ...rest] = text.split("/");
  const bad = (why: string): GantryError =>
    new GantryError("usage", `'${text}' is not a pod: ${why}`, { hint: "Write NAME, NAMESPACE/NAME or pod/NAME." });
  if (rest.length > 0) throw bad("it has more than one '/'");
  const name = second ?? first;
  const inName = second === undefined || KINDS.has(first) ? undefined : first;
  if (inName !== undefined && namespace !== undefined && inName !== namespace) {
    throw new GantryError("usage", `'${text}' names namespace '${inName}', and -n says '${namespace}'`, {
      hint: "Give the namespace once.",
    });
  }
  if (name.length > 253 || !SUBDOMAIN.test(name)) {
    throw bad(name === "" ? "the name is empty" : `'${name}' is not a name (lowercase letters, digits, '-' and '.')`);
  }
  if (inName !== undefined && !isNamespaceName(inName)) {
    throw bad(`'${inName}' is not a namespace`);
  }
  const given = inName ?? namespace;
  return { namespace: given ?? defaultNamespace ?? DEFAULT_NAMESPACE, name, namespaceGiven: given !== undefined };
}

/** True for an RFC 1123 label. */
export function isNamespaceName(text: string): boolean {
  return text.length <= 63 && !text.includes(".") && SUBDOMAIN.test(text);
}
