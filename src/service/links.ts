/** What the environment of a container tells of the Services of its namespace (k8s.io/kubernetes/pkg/kubelet/envvars). Pure. */
import type { ServiceLink } from "./contract.ts";

export function linkVariables(services: readonly ServiceLink[]): { readonly name: string; readonly value: string }[] {
  return services.flatMap(({ name, clusterIP, ports }) => {
    const [first] = ports;
    if (first === undefined) return [];
    const prefix = variableOf(name);
    const url = ({ port, protocol }: ServiceLink["ports"][number]): string =>
      `${protocol.toLowerCase()}://${clusterIP}:${port}`;
    return [
      [`${prefix}_SERVICE_HOST`, clusterIP],
      [`${prefix}_SERVICE_PORT`, String(first.port)],
      ...ports.flatMap((port) =>
        port.name === undefined ? [] : [[`${prefix}_SERVICE_PORT_${variableOf(port.name)}`, String(port.port)]],
      ),
      [`${prefix}_PORT`, url(first)],
      ...ports.flatMap((port) => {
        const own = `${prefix}_PORT_${port.port}_${port.protocol}`;
        return [
          [own, url(port)],
          [`${own}_PROTO`, port.protocol.toLowerCase()],
          [`${own}_PORT`, String(port.port)],
          [`${own}_ADDR`, clusterIP],
        ];
      }),
    ].map(([variable = "", value = ""]) => ({ name: variable, value }));
  });
}

const variableOf = (name: string): string => name.toUpperCase().replaceAll("-", "_");
