/** The unix socket of this host's daemon. */
export interface LocalEndpoint {
  readonly socketPath: string;
}

/** A daemon's API over TLS, and what proves who is who. */
export interface RemoteEndpoint {
  /** "https://10.0.0.5:6443", for messages. */
  readonly server: string;
  readonly host: string;
  readonly port: number;
  /** PEM. Undefined: the authorities that Node.js knows. */
  readonly authority?: string | undefined;
  readonly certificate?: string | undefined;
  readonly key?: string | undefined;
  readonly token?: string | undefined;
  /** Name to look for in the server's certificate, where it is not the host's. */
  readonly serverName?: string | undefined;
  /** Believes any certificate. */
  readonly insecure?: boolean | undefined;
  /** Where this was read: "/root/.kube/config, context web". */
  readonly from: string;
}

export type Endpoint = LocalEndpoint | RemoteEndpoint;

export function isRemote(endpoint: Endpoint): endpoint is RemoteEndpoint {
  return "server" in endpoint;
}

/** What node:tls takes, and so do node:https and ws. */
export function tlsOptions({ host, authority, certificate, key, serverName, insecure }: RemoteEndpoint) {
  return {
    ...(authority !== undefined && { ca: authority }),
    ...(certificate !== undefined && { cert: certificate }),
    ...(key !== undefined && { key }),
    // An address is no name that a server could be asked for by (RFC 6066).
    ...(serverName === undefined ? !isAddress(host) && { servername: host } : { servername: serverName }),
    rejectUnauthorized: insecure !== true,
    ALPNProtocols: ["http/1.1"],
  };
}

export function authorization({ token }: RemoteEndpoint): Record<string, string> {
  return token === undefined ? {} : { authorization: `Bearer ${token}` };
}

const isAddress = (host: string): boolean => host.includes(":") || /^\d+(\.\d+){3}$/.test(host);
