import { GantryError, isGantryError } from "../../system/errors.ts";

interface Case {
  readonly pattern: RegExp;
  readonly code: GantryError["code"];
  /** What is wrong, with the name of the image and the registry's host. */
  readonly what: (name: string, host: string) => string;
  readonly hint: (host: string) => string;
}

const PASSWORD =
  "Give the pod imagePullSecrets, or put the password into auth.json (see README, 'Images from registries').";

/** In the order in which they are looked for: the first that fits says most. */
const CASES: readonly Case[] = [
  {
    pattern: /rejected by policy|Source image rejected|A signature was required|signature.*(not accepted|rejected)/i,
    code: "image-untrusted",
    what: (name) => `image ${name} is not let in by the policy`,
    hint: () => "Sign the image, or change what policy.json asks for.",
  },
  {
    pattern: /registry .* is blocked in/i,
    code: "registry-denied",
    what: (_name, host) => `registry ${host} is blocked in registries.conf`,
    hint: () => "Use another registry, or remove 'blocked = true' there.",
  },
  {
    pattern: /manifest unknown|name unknown|repository name not known|not found|StatusCode: 404|status code 404/i,
    code: "image-missing",
    what: (name, host) => `registry ${host} has no image ${name}`,
    hint: () =>
      "Check the name and the tag; some registries answer so, too, where a password is missing. Or import it: gantry image import FILE NAME.",
  },
  {
    pattern:
      /unauthorized|authentication required|incorrect username\/password|invalid username\/password|StatusCode: 401|status 401/i,
    code: "registry-denied",
    what: (name, host) => `registry ${host} wants a password for ${name}, or another one`,
    hint: () => PASSWORD,
  },
  {
    pattern: /denied|forbidden|StatusCode: 403|status 403/i,
    code: "registry-denied",
    what: (name, host) => `registry ${host} denies access to ${name}`,
    hint: () => PASSWORD,
  },
  {
    pattern: /toomanyrequests|too many requests|StatusCode: 429/i,
    code: "registry-failed",
    what: (_name, host) => `registry ${host} answers 429: too many requests`,
    hint: () => "Gantry tries again later; a password may give you a higher limit, a mirror spares the registry.",
  },
  {
    pattern: /server gave HTTP response to HTTPS client/i,
    code: "registry-failed",
    what: (_name, host) => `registry ${host} speaks HTTP, not HTTPS`,
    hint: (host) => `If that is meant, put [[registry]] location = "${host}", insecure = true into registries.conf.`,
  },
  {
    pattern: /x509: certificate signed by unknown authority/i,
    code: "registry-failed",
    what: (_name, host) => `the certificate of registry ${host} is signed by an unknown authority`,
    hint: (host) => `Put the authority's certificate into certs.d/${host}/ca.crt beside Gantry's config.yaml.`,
  },
  {
    pattern: /x509:|tls: /i,
    code: "registry-failed",
    what: (_name, host) => `no trustworthy connection to registry ${host}`,
    hint: () => "Check the registry's certificate and this host's clock.",
  },
  {
    pattern: /no such host|server misbehaving|temporary failure in name resolution/i,
    code: "registry-failed",
    what: (_name, host) => `the host of registry ${host} is not known`,
    hint: () => "Check the spelling, and this host's DNS.",
  },
  {
    pattern:
      /connection refused|no route to host|network is unreachable|i\/o timeout|connection reset|TLS handshake timeout/i,
    code: "registry-failed",
    what: (_name, host) => `registry ${host} can't be reached`,
    hint: () => "Check that it runs, the network, and a proxy if there is one.",
  },
  {
    pattern: /digest.*(did not match|does not match|mismatch)|corrupt blob|digest verification|mismatching digest/i,
    code: "image-invalid",
    what: (name, host) => `registry ${host} sent other content for ${name} than promised`,
    hint: () => "The registry, or something between it and this host, is broken or hostile; nothing was kept.",
  },
  {
    pattern: /unexpected EOF|size mismatch|EOF/,
    code: "registry-failed",
    what: (name, host) => `registry ${host} broke off in the middle of ${name}`,
    hint: () => "Try again: what is here is kept, and the next try goes on from there.",
  },
  {
    pattern: /\b5\d\d\b/,
    code: "registry-failed",
    what: (_name, host) => `registry ${host} fails`,
    hint: () => "Look into the registry's log; Gantry tries again by itself.",
  },
];

/**
 * Turns skopeo's words into an error that says what is wrong and what to do. Errors of other kinds pass unchanged.
 * @param name full name. @param host of the registry in it
 */
export function explainFailure(error: unknown, name: string, host: string): unknown {
  if (!isGantryError(error, "command-failed")) return error;
  const said = lastWords(error);
  const found = CASES.find(({ pattern }) => pattern.test(said));
  if (found === undefined) {
    const hint = "Try 'skopeo inspect' with the same name to see more.";
    return new GantryError("registry-failed", `cannot pull ${name}: ${said}`, { kind: "system", cause: error, hint });
  }
  const what = found.what(name, host);
  const about = what.includes(name) ? what : `cannot pull ${name}: ${what}`;
  return new GantryError(found.code, `${about}: ${said}`, {
    kind: found.code === "registry-failed" ? "system" : "user",
    cause: error,
    hint: found.hint(host),
    details: { name, registry: host },
  });
}

/** skopeo's last line, without the log's frame and without what the reader knows. */
function lastWords(error: GantryError): string {
  const stderr = error.details["stderr"];
  const lines = typeof stderr === "string" ? stderr.trim().split("\n") : [];
  const last = lines.at(-1) || error.message;
  const logged = /msg="((?:[^"\\]|\\.)*)"/.exec(last)?.[1] ?? last.replace(/^FATA\[\d+\] */, "");
  return logged
    .replaceAll('\\"', '"')
    .replaceAll("\\n", " ")
    .replace(
      /^(Error parsing image name|initializing source|trying to reuse blob.*?at destination:) "?docker:\/\/[^ "]+"?: /i,
      "",
    )
    .trim();
}
