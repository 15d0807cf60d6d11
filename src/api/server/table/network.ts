/** Columns of what leads to pods, as a cluster has them. Pure. */
import { at } from "../../patch/plain.ts";
import {
  ageColumn,
  type Columns,
  joined,
  labelsText,
  listAt,
  NONE,
  nameColumn,
  numberAt,
  orEmpty,
  text,
  textAt,
} from "./column.ts";

export const NETWORK_COLUMNS = {
  Service: [
    nameColumn,
    {
      name: "Type",
      cell: (object) => (at(object, "spec", "type") === undefined ? "ClusterIP" : textAt(object, "spec", "type")),
    },
    text("Cluster-IP", "spec", "clusterIP"),
    { name: "External-IP", cell: externalIp },
    { name: "Port(s)", cell: servicePorts },
    ageColumn,
    { name: "Selector", priority: 1, cell: (object) => labelsText(at(object, "spec", "selector")) },
  ],
  EndpointSlice: [
    nameColumn,
    text("AddressType", "addressType"),
    {
      name: "Ports",
      cell: (object) =>
        joined(
          listAt(object, "ports").map((port) => textAt(port, "port")),
          3,
          "<unset>",
        ),
    },
    {
      name: "Endpoints",
      cell: (object) =>
        joined(
          listAt(object, "endpoints").flatMap((one) => listAt(one, "addresses").map(String)),
          3,
          "<unset>",
        ),
    },
    ageColumn,
  ],
  Endpoints: [nameColumn, { name: "Endpoints", cell: endpoints }, ageColumn],
  IngressClass: [
    nameColumn,
    text("Controller", "spec", "controller"),
    { name: "Parameters", cell: parametersText },
    ageColumn,
  ],
} satisfies Columns;

function parametersText(object: unknown): string {
  const parameters = at(object, "spec", "parameters");
  if (parameters === undefined) return NONE;
  const group = at(parameters, "apiGroup");
  return `${textAt(parameters, "kind")}${group === undefined ? "" : `.${String(group)}`}/${textAt(parameters, "name")}`;
}

/** The first three, as formatEndpoints has it. */
function endpoints(object: unknown): string {
  const all = listAt(object, "subsets").flatMap((subset) => {
    const ports = listAt(subset, "ports");
    const ips = listAt(subset, "addresses").map((address) => textAt(address, "ip"));
    return ports.length === 0 ? ips : ports.flatMap((port) => ips.map((ip) => `${ip}:${textAt(port, "port")}`));
  });
  return joined(all, 3, NONE);
}

function externalIp(service: unknown): string {
  const listed = listAt(service, "spec", "externalIPs").map(String);
  switch (at(service, "spec", "type")) {
    case "ExternalName":
      return textAt(service, "spec", "externalName");
    case "LoadBalancer": {
      const given = listAt(service, "status", "loadBalancer", "ingress").map((one) => textAt(one, "ip"));
      const all = [...given, ...listed];
      return all.length === 0 ? "<pending>" : all.join(",");
    }
    default:
      return listed.length === 0 ? NONE : listed.join(",");
  }
}

function servicePorts(service: unknown): string {
  const ports = listAt(service, "spec", "ports").map((port) => {
    const node = numberAt(port, "nodePort");
    return `${textAt(port, "port")}${node > 0 ? `:${node}` : ""}/${orEmpty(at(port, "protocol") ?? "TCP")}`;
  });
  return ports.length === 0 ? NONE : ports.join(",");
}
