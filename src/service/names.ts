/** The names of Services and pods, as lines for the name server. Pure. The names: kubernetes/dns, specification.md. */
import { isHeadless, type Served } from "./contract.ts";

/** A pod that has a name of its own. */
export interface NamedPod {
  readonly namespace: string;
  readonly name: string;
  readonly ips: readonly string[];
}

/**
 * Lines of a hosts file: `<service>.<namespace>.svc.<domain>`, `<hostname>.<service>…` of the pods behind it,
 * `<pod>.<namespace>.pod.<domain>` and, for the search list to find `<pod>.<namespace>`, `<pod>.<namespace>.<domain>`.
 * The first name of an address is what a reverse look-up gives.
 */
export function namesText(domain: string, pods: readonly NamedPod[], services: readonly Served[]): string {
  const lines = [
    ...pods.flatMap(({ namespace, name, ips }) =>
      ips.map((ip) =>
        line(ip, [
          `${name}.${namespace}.pod.${domain}`,
          `${name}.${namespace}.${domain}`,
          `${dashed(ip)}.${namespace}.pod.${domain}`,
        ]),
      ),
    ),
    ...services.flatMap((served) => serviceLines(domain, served)),
  ];
  return lines.length === 0 ? "" : `${[...new Set(lines.filter((text) => text !== ""))].join("\n")}\n`;
}

function serviceLines(domain: string, { service, clusterIP, resolved }: Served): string[] {
  const { name, namespace } = service.metadata;
  const full = `${name}.${namespace}.svc.${domain}`;
  const own = clusterIP === undefined || clusterIP === "None" ? [] : [line(clusterIP, [full])];
  const behind = resolved.endpoints.flatMap(({ ips, hostname }) =>
    ips.flatMap((ip) => [
      ...(isHeadless(service) ? [line(ip, [full])] : []),
      line(ip, [`${hostname ?? dashed(ip)}.${full}`]),
    ]),
  );
  return [...own, ...behind];
}

const dashed = (ip: string): string => ip.replaceAll(/[.:]/g, "-");

/** DNS has labels of at most 63 characters, and names of at most 253: longer ones can't be asked for. */
function line(ip: string, names: readonly string[]): string {
  const fit = names.filter((name) => name.length <= 253 && name.split(".").every((label) => label.length <= 63));
  return fit.length === 0 ? "" : `${ip}\t${fit.join(" ")}`;
}
