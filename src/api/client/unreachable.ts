import { errnoOf, GantryError, messageOf } from "../../system/errors.ts";
import { type Endpoint, isRemote, type LocalEndpoint, type RemoteEndpoint } from "./endpoint.ts";

export function nameOf(endpoint: Endpoint): string {
  return isRemote(endpoint) ? endpoint.server : endpoint.socketPath;
}

/** Nobody took the connection in time. */
export function noAnswer(endpoint: RemoteEndpoint): GantryError {
  return remoteError(
    endpoint,
    `${endpoint.server} does not answer`,
    "Is the machine up, and does a firewall let this port through?",
    undefined,
  );
}

/** Why a daemon could not be talked to, and what to do about it. */
export function unreachable(endpoint: Endpoint, cause: unknown): GantryError {
  if (cause instanceof GantryError) return cause;
  return isRemote(endpoint) ? remoteUnreachable(endpoint, cause) : localUnreachable(endpoint, cause);
}

function localUnreachable({ socketPath }: LocalEndpoint, cause: unknown): GantryError {
  const hint = `Is it running? Start it with 'gantry daemon' or 'npm start'. Looked at ${socketPath}.`;
  const details = { socket: socketPath };
  switch (errnoOf(cause)) {
    case "ENOENT":
    case "ECONNREFUSED":
    case "ENOTDIR":
      return new GantryError("daemon-unreachable", "the daemon is not running", { hint, cause, details });
    case "EACCES":
    case "EPERM":
      return new GantryError("daemon-unreachable", "no permission to talk to the daemon", {
        hint: `Its socket is root's alone: run this as root (sudo). Looked at ${socketPath}.`,
        cause,
        details,
      });
    case "ECONNRESET":
    case "EPIPE":
      return new GantryError("daemon-unreachable", "the daemon went away in the middle", { hint, cause, details });
    default: {
      const message = `cannot talk to the daemon: ${messageOf(cause)}`;
      return new GantryError("daemon-unreachable", message, { hint, cause, details });
    }
  }
}

/** By the codes of the system, of OpenSSL's verification, and of Node.js. */
function remoteUnreachable(endpoint: RemoteEndpoint, cause: unknown): GantryError {
  const { server, host, from } = endpoint;
  const code = errnoOf(cause) ?? "";
  const fail = (message: string, hint: string): GantryError => remoteError(endpoint, message, hint, cause);
  switch (code) {
    case "ECONNREFUSED":
      return fail(
        `${server} refuses the connection`,
        "Does Gantry run there, with api.listen set in its configuration?",
      );
    case "ENOTFOUND":
    case "EAI_AGAIN":
      return fail(`the name '${host}' is not known`, `Look at the server's address in ${from}.`);
    case "EHOSTUNREACH":
    case "ENETUNREACH":
    case "ETIMEDOUT":
      return fail(
        `${server} can't be reached (${code})`,
        "Is the machine up, and does a firewall let this port through?",
      );
    case "ECONNRESET":
    case "EPIPE":
      return fail(`${server} broke the connection off`, "Try again; its log tells why, if it was the daemon that did.");
    case "CERT_HAS_EXPIRED":
      return fail(
        `the certificate of ${server} has expired`,
        "Look at the clocks of both machines; the daemon renews it when it starts.",
      );
    case "CERT_NOT_YET_VALID":
      return fail(`the certificate of ${server} is not valid yet`, "Look at the clocks of both machines.");
    case "ERR_TLS_CERT_ALTNAME_INVALID":
      return fail(
        `the certificate of ${server} is not for '${host}'`,
        `Add '${host}' to api.names in the configuration there, and restart the daemon.`,
      );
    default:
  }
  if (/SELF_SIGNED|UNABLE_TO_|CERT_SIGNATURE|CERT_UNTRUSTED|INVALID_CA/.test(code)) {
    return fail(
      `the certificate of ${server} is not from the authority in ${from}`,
      "It is another machine, or its keys were made anew: get a new kubeconfig there, with 'gantry kubeconfig'.",
    );
  }
  if (code.startsWith("ERR_SSL") || code === "EPROTO") {
    return fail(
      `no TLS comes about with ${server}: ${messageOf(cause)}`,
      "Is it Gantry that listens at this port, and is the client's certificate in order?",
    );
  }
  return fail(`cannot talk to ${server}: ${messageOf(cause)}`, `Look at the server's address in ${from}.`);
}

function remoteError({ server }: RemoteEndpoint, message: string, hint: string, cause: unknown): GantryError {
  return new GantryError("daemon-unreachable", message, { hint, cause, details: { server } });
}
