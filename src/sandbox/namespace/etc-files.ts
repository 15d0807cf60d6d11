import type { DnsConfig, SandboxConfig } from "../driver.ts";

/** /etc/hosts of a pod, as the kubelet writes it. */
export function hostsFile(
  config: Pick<SandboxConfig, "hostname" | "hostNames" | "hostAliases">,
  ips: readonly string[],
): string {
  const names = config.hostNames ?? [config.hostname];
  const lines = [
    "# Kubernetes-managed hosts file.",
    "127.0.0.1\tlocalhost",
    "::1\tlocalhost ip6-localhost ip6-loopback",
    "fe00::0\tip6-localnet",
    "fe00::0\tip6-mcastprefix",
    "fe00::1\tip6-allnodes",
    "fe00::2\tip6-allrouters",
    ...ips.map((ip) => [ip, ...names].join("\t")),
  ];
  return `${[...lines, ...aliases(config)].join("\n")}\n`;
}

/** With hostNetwork: the host's own file, and the pod's aliases. */
export function hostNetworkHostsFile(config: Pick<SandboxConfig, "hostAliases">, hostFile: string): string {
  const lines = aliases(config);
  return lines.length === 0
    ? hostFile
    : `# Kubernetes-managed hosts file (host network).\n${hostFile}\n${lines.join("\n")}\n`;
}

function aliases(config: Pick<SandboxConfig, "hostAliases">): string[] {
  if (config.hostAliases.length === 0) return [];
  return [
    "",
    "# Entries added by HostAliases.",
    ...config.hostAliases.map((a) => `${a.ip}\t${a.hostnames.join("\t")}`),
  ];
}

/** /etc/resolv.conf of a pod. @param hostFile the host's */
export function resolvConf(dns: DnsConfig, hostFile: string): string {
  switch (dns.policy) {
    case "host":
      return hostFile;
    case "custom": {
      const lines = dns.nameservers.map((server) => `nameserver ${server}`);
      if (dns.searches.length > 0) lines.unshift(`search ${dns.searches.join(" ")}`);
      if (dns.options.length > 0) lines.push(`options ${dns.options.join(" ")}`);
      return `${lines.join("\n")}\n`;
    }
  }
}
