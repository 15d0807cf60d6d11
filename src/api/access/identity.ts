import type { IncomingMessage } from "node:http";
import { type Identity, ROOT } from "./roles.ts";

/** Those that came in over TLS; whoever comes over the unix socket is root. */
const known = new WeakMap<IncomingMessage, Identity>();

export function rememberIdentity(request: IncomingMessage, identity: Identity): void {
  known.set(request, identity);
}

/** Who sends this request, for handlers that answer what one may do, and who one is. */
export function identityOf(request: IncomingMessage): Identity {
  return known.get(request) ?? ROOT;
}
