/** Where a server listens. */
export interface Listen {
  readonly host: string;
  readonly port: number;
}

/** "127.0.0.1", "localhost", "::1": where only this host can call. */
export function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || host.startsWith("127.");
}

/** "127.0.0.1:6443", "[::1]:6443" or "host:6443"; undefined for anything else. */
export function parseListen(text: string): Listen | undefined {
  const [, bracketed, plain, digits = ""] = /^(?:\[([0-9a-fA-F:.]+)\]|([A-Za-z0-9.-]+)):(\d{1,5})$/.exec(text) ?? [];
  const host = bracketed ?? plain;
  const port = Number(digits);
  return host === undefined || port < 1 || port > 65_535 ? undefined : { host, port };
}

export function formatListen({ host, port }: Listen): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}
