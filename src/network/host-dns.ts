import { readFile } from "node:fs/promises";

export interface HostDns {
  readonly nameservers: readonly string[];
  readonly searches: readonly string[];
  readonly options: readonly string[];
}

const STUB = "/etc/resolv.conf";
/** systemd-resolved(8): the servers behind its stub, which listens on the host's loopback where no pod reaches it. */
const BEHIND_STUB = "/run/systemd/resolve/resolv.conf";

/**
 * The host's DNS as a pod can use it. Where /etc/resolv.conf names systemd-resolved's stub (127.0.0.53), the servers
 * behind it are given instead; other loopback servers are left out. No file: nothing.
 */
export async function hostDns(stub: string = STUB, behindStub: string = BEHIND_STUB): Promise<HostDns> {
  const host = parseResolvConf(await read(stub));
  const usesStub = host.nameservers.includes("127.0.0.53");
  const behind = usesStub ? parseResolvConf(await read(behindStub)) : host;
  const chosen = behind.nameservers.length > 0 ? behind : host;
  return { ...chosen, nameservers: chosen.nameservers.filter((server) => !isLoopback(server)) };
}

const read = (file: string): Promise<string> => readFile(file, "utf8").catch(() => "");
const isLoopback = (address: string): boolean => address.startsWith("127.") || address === "::1";

/** resolv.conf(5): the last `search` (or `domain`) wins, options add up. */
export function parseResolvConf(text: string): HostDns {
  const nameservers: string[] = [];
  const options: string[] = [];
  let searches: string[] = [];
  for (const line of text.split("\n")) {
    const [keyword, ...values] = line
      .replace(/[#;].*$/, "")
      .trim()
      .split(/\s+/);
    const [first] = values;
    if (first === undefined) continue;
    if (keyword === "nameserver") nameservers.push(first);
    else if (keyword === "search") searches = values.filter((domain) => domain !== ".");
    else if (keyword === "domain") searches = [first];
    else if (keyword === "options") options.push(...values);
  }
  return { nameservers, searches, options };
}
