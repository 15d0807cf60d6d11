/** Where a repository is: what may be asked of Git, and how it is shown. Pure. */

export interface RepositoryUrl {
  /** As Git gets it: without user name and password where they are secrets. */
  readonly url: string;
  readonly transport: "https" | "http" | "ssh" | "git" | "file";
  /** Of an https URL that carried them; they go to Git by another way than its command line. */
  readonly user: string | undefined;
  readonly password: string | undefined;
}

/** No program of the other side, no option, no control character. */
const FORBIDDEN = /[\s\p{Cc}]/u;
const HOST = /^(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?)$/;

/** @returns a sentence for what can't be followed: another transport, or something that Git would take for an option */
export function parseRepositoryUrl(text: string): RepositoryUrl | string {
  if (text === "") return "must not be empty";
  if (FORBIDDEN.test(text)) return "must have no spaces and no control characters";
  if (text.startsWith("-")) return "must not begin with '-'";
  if (text.startsWith("/")) return { url: text, transport: "file", user: undefined, password: undefined };
  if (/^[A-Za-z0-9+.-]+::/.test(text)) return "remote helpers (NAME::…) are not followed: use https, ssh or file";
  if (!text.includes("://")) return parseScp(text);
  let parsed: URL;
  try {
    parsed = new URL(text);
  } catch {
    return "is no URL";
  }
  const transport = parsed.protocol.slice(0, -1);
  switch (transport) {
    case "file":
      if (parsed.host !== "") return "file URLs have three slashes: file:///srv/git/pods.git";
      return { url: text, transport, user: undefined, password: undefined };
    case "https":
    case "http": {
      if (!HOST.test(parsed.hostname)) return `${JSON.stringify(parsed.hostname)} is no host`;
      const [user, password] = [decoded(parsed.username), decoded(parsed.password)];
      parsed.username = "";
      parsed.password = "";
      return { url: parsed.href, transport, user, password };
    }
    case "ssh":
    case "git":
      if (!HOST.test(parsed.hostname)) return `${JSON.stringify(parsed.hostname)} is no host`;
      if (parsed.password !== "") return "an ssh URL has no password: use a deploy key (sshKey)";
      // Git takes the percent signs out before it passes the parts on to ssh.
      if (decoded(parsed.username)?.startsWith("-") === true) return "the user must not begin with '-'";
      if (FORBIDDEN.test(decoded(text) ?? "")) return "must have no spaces and no control characters";
      return { url: text, transport, user: undefined, password: undefined };
    default:
      return `${transport}:// is not followed: use https, ssh or file`;
  }
}

/** "git@example.com:team/pods.git" */
function parseScp(text: string): RepositoryUrl | string {
  const match = /^(?:([A-Za-z0-9_][A-Za-z0-9._-]*)@)?([^:/]+|\[[0-9a-fA-F:]+\]):(?!:)(.+)$/.exec(text);
  const [, , host = "", path = ""] = match ?? [];
  if (match === null || !HOST.test(host) || path.startsWith("-"))
    return "is no URL: write https://…, ssh://…, USER@HOST:PATH or an absolute path";
  return { url: text, transport: "ssh", user: undefined, password: undefined };
}

function decoded(text: string): string | undefined {
  if (text === "") return undefined;
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** Any text, such as an error of Git's, without what looks like the user part of a URL. */
export function withoutSecrets(text: string): string {
  // Up to the last '@' before a slash: whoever wrote a password as it is may have one in it.
  return text.replaceAll(/([a-z][a-z0-9+.-]*:\/\/)[^/\s]*@/gi, (_all, scheme: string) =>
    scheme.toLowerCase() === "ssh://" ? _all : scheme,
  );
}

/** A branch or tag that Git takes for nothing else (git-check-ref-format(1)). @returns a sentence about what is wrong */
export function refProblem(name: string): string | undefined {
  const bad =
    name === "" ||
    name.startsWith("-") ||
    name.startsWith("/") ||
    name.endsWith("/") ||
    name.endsWith(".") ||
    name === "@" ||
    name.includes("..") ||
    name.includes("//") ||
    name.includes("@{") ||
    // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
    /[\u0000-\u0020\u007f~^:?*[\\]/.test(name) ||
    name.split("/").some((part) => part.startsWith(".") || part.endsWith(".lock"));
  return bad ? `${JSON.stringify(name)} is no name of a branch or tag` : undefined;
}

/** A folder in the repository, without slashes around it; "" is the whole. @returns undefined for one that leads out */
export function folderIn(path: string): string | undefined {
  if (path.includes("\0") || path.startsWith("/")) return undefined;
  const parts = path.split("/").filter((part) => part !== "" && part !== ".");
  return parts.includes("..") || parts.includes(".git") ? undefined : parts.join("/");
}
