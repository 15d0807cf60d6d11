import { GantryError } from "../system/errors.ts";

/**
 * Image names as docker and podman know them: the grammar and the defaults of the distribution project's
 * reference package (https://github.com/distribution/reference).
 */
export interface Reference {
  /** With the registry's host, e.g. "docker.io/library/busybox". */
  readonly repository: string;
  /** "latest" when neither a tag nor a digest was given; undefined when only a digest was. */
  readonly tag: string | undefined;
  /** "sha256:<64 hex digits>" */
  readonly digest: string | undefined;
}

const HOST_LABEL = "[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?";
const HOST = new RegExp(`^(?:${HOST_LABEL}(?:\\.${HOST_LABEL})*|\\[[0-9a-fA-F:]+\\])(?::[0-9]{1,5})?$`);
const PATH_COMPONENT = /^[a-z0-9]+(?:(?:\.|__?|-+)[a-z0-9]+)*$/;
const TAG = /^\w[\w.-]{0,127}$/;
const DIGEST = /^sha256:[0-9a-f]{64}$/;
const MAX_REPOSITORY_LENGTH = 255;
const MAX_SHOWN = 80;

/** True for "sha256:" and 64 hex digits. */
export function isDigest(text: string): boolean {
  return DIGEST.test(text);
}

/** @throws GantryError name-invalid, saying which part is wrong */
export function parseReference(name: string): Reference {
  const fail = (why: string, hint?: string): never => {
    const shown = name.length > MAX_SHOWN ? `${name.slice(0, MAX_SHOWN)}…` : name;
    throw new GantryError("name-invalid", `invalid image name ${JSON.stringify(shown)}: ${why}`, {
      hint: hint ?? "An image name looks like busybox, localhost/hello:1 or registry.example.com/team/app@sha256:….",
      details: { name: shown },
    });
  };
  if (name === "") return fail("it is empty");
  const at = name.indexOf("@");
  const digest = at === -1 ? undefined : name.slice(at + 1);
  if (digest !== undefined && !DIGEST.test(digest))
    return fail("what follows '@' must be sha256: and 64 hex digits (0-9, a-f)");
  const rest = at === -1 ? name : name.slice(0, at);
  // A colon before the last slash belongs to the registry's port.
  const colon = rest.lastIndexOf(":");
  const hasTag = colon > rest.lastIndexOf("/");
  const tag = hasTag ? rest.slice(colon + 1) : undefined;
  if (tag !== undefined && !TAG.test(tag)) {
    return fail(
      `the tag ${JSON.stringify(tag.slice(0, MAX_SHOWN))} must be 1 to 128 of letters, digits, '_', '.' and '-', and not begin with '.' or '-'`,
    );
  }
  const { host, path } = splitHost(hasTag ? rest.slice(0, colon) : rest);
  if (!HOST.test(host)) return fail(`${JSON.stringify(host.slice(0, MAX_SHOWN))} is no registry host`);
  if (/^[0-9a-f]{64}$/.test(path))
    return fail("64 hex digits are an id, not a name", "Write sha256: in front of an id.");
  for (const component of path.split("/")) {
    if (PATH_COMPONENT.test(component)) continue;
    if (component === "") return fail("a part between slashes is empty");
    if (component !== component.toLowerCase())
      return fail(
        "capital letters are not allowed in it",
        PATH_COMPONENT.test(component.toLowerCase()) ? `Did you mean ${name.toLowerCase()}?` : undefined,
      );
    return fail(
      `${JSON.stringify(component.slice(0, MAX_SHOWN))} must be lower-case letters and digits, joined by '.', '_', '__' or '-'`,
    );
  }
  const repository = host === "docker.io" && !path.includes("/") ? `docker.io/library/${path}` : `${host}/${path}`;
  if (repository.length > MAX_REPOSITORY_LENGTH) return fail(`it is longer than ${MAX_REPOSITORY_LENGTH} characters`);
  return { repository, tag: tag ?? (digest === undefined ? "latest" : undefined), digest };
}

/**
 * The one full spelling of a name: "busybox" → "docker.io/library/busybox:latest". With a digest the tag is dropped,
 * because the digest alone decides.
 * @throws GantryError name-invalid
 */
export function normalizeName(name: string): string {
  const { repository, tag, digest } = parseReference(name);
  return digest === undefined ? `${repository}:${tag}` : `${repository}@${digest}`;
}

/** "host" or "host:port" of an image's registry. @throws GantryError name-invalid */
export function registryOf(name: string): string {
  return parseReference(name).repository.split("/")[0] ?? "";
}

/** The first component is a host when it can't be anything else: it has a dot, a port or capitals, or is "localhost". */
function splitHost(name: string): { host: string; path: string } {
  const slash = name.indexOf("/");
  const first = slash === -1 ? "" : name.slice(0, slash);
  const isHost = first === "localhost" || /[.:[]/.test(first) || first !== first.toLowerCase();
  if (!isHost) return { host: "docker.io", path: name };
  return { host: first === "index.docker.io" ? "docker.io" : first, path: name.slice(slash + 1) };
}
