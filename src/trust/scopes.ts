/** Which rule of a policy an image falls under: the look-up of containers-policy.json(5) for docker references. Pure. */
import { normalizeName, parseReference } from "../image/name.ts";
import { GantryError, isGantryError } from "../system/errors.ts";
import type { Policy, Requirement } from "./policy.ts";

export interface Rule {
  /** The scope that matched; "" for the default of all registries, undefined for that of everything. */
  readonly scope: string | undefined;
  /** All of them must be met. */
  readonly requirements: readonly Requirement[];
}

/** The rule for an image's name. The most specific scope alone decides. @throws name-invalid */
export function ruleFor(policy: Policy, name: string): Rule {
  const docker = policy.transports?.docker ?? {};
  for (const scope of [...scopesOf(name), ""]) {
    const requirements = Object.hasOwn(docker, scope) ? docker[scope] : undefined;
    if (requirements !== undefined) return { scope, requirements };
  }
  return { scope: undefined, requirements: policy.default };
}

/**
 * Every scope that covers an image, the most specific first: its full name, its repository, the namespaces around it,
 * its registry, and wildcards for the domains above that (DockerReferenceNamespaces of containers/image).
 * @throws name-invalid
 */
export function scopesOf(name: string): string[] {
  const { repository } = parseReference(name);
  const scopes = [normalizeName(name)];
  let prefix = repository;
  for (;;) {
    scopes.push(prefix);
    const slash = prefix.lastIndexOf("/");
    if (slash === -1) break;
    prefix = prefix.slice(0, slash);
  }
  // Wildcards know no ports.
  let domain = prefix.split(":")[0] ?? prefix;
  for (let dot = domain.indexOf("."); dot !== -1; dot = domain.indexOf(".")) {
    domain = domain.slice(dot + 1);
    scopes.push(`*.${domain}`);
  }
  return scopes;
}

const WILDCARD = /^\*\.[a-zA-Z0-9]([a-zA-Z0-9.-]*[a-zA-Z0-9])?$/;

/**
 * A scope as a person writes it in its full form: "docker.io/library/busybox" for "busybox" is what skopeo compares,
 * so that a scope that could never match is refused instead of being kept in silence.
 * @throws GantryError usage
 */
export function parseScope(text: string): string {
  const fail = (why: string): never => {
    throw new GantryError("usage", `--prefix '${text}' is no prefix of image names: ${why}`, {
      hint: "For example registry.example.com, registry.example.com/team, docker.io/library/busybox:1.36 or *.example.com.",
    });
  };
  if (text === "") return fail("it is empty");
  if (text.startsWith("*"))
    return WILDCARD.test(text) ? text : fail("a wildcard stands for whole domains: *.example.com");
  if (text.endsWith("/")) return fail("leave out the slash at its end");
  const [host = ""] = text.split("/");
  const isHost = host === "localhost" || /[.:]/.test(host);
  if (!isHost) return fail(`write the registry, too: docker.io/${text.includes("/") ? text : `library/${text}`}`);
  // Without a tag it may be a namespace, as "docker.io/bitnami" is.
  const isImage = text.includes("@") || text.lastIndexOf(":") > text.indexOf("/");
  if (!text.includes("/") && /:(?!\d{1,5}$)/.test(text)) return fail("what follows ':' must be a port");
  return checked(isImage && text.includes("/") ? text : `${text}/x`, text, fail);
}

/** @param name what must be a valid image name for `scope` to be able to cover one */
function checked(name: string, scope: string, fail: (why: string) => never): string {
  try {
    const { repository } = parseReference(name);
    if (name === scope && !scope.startsWith(repository)) return fail(`its full form is ${repository}`);
    return scope;
  } catch (error) {
    if (isGantryError(error, "name-invalid")) return fail(error.message.replace(/^invalid image name "[^"]*": /, ""));
    throw error;
  }
}
