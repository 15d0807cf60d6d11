/** Checks of Services (k8s.io/kubernetes/pkg/apis/core/validation, ValidateService). */
import type { FieldPath } from "../issue.ts";
import { dnsLabelComplaint, isIpAddress } from "../schema/fields.ts";
import type { Service } from "../schema/index.ts";
import type { Report } from "./index.ts";
import { unique } from "./unique.ts";

export function validateService({ metadata, spec }: Service, report: Report): void {
  const wrong = dnsLabelComplaint(metadata.name);
  if (wrong !== undefined) report(["metadata", "name"], `"${metadata.name}" ${wrong}`);
  const ports = spec.ports ?? [];
  if (ports.length === 0 && spec.clusterIP !== "None" && spec.type === "ClusterIP")
    report(["spec", "ports"], "must have at least one port", "or write clusterIP: None for a name alone");
  validateAddress(spec, report);
  if (spec.type === "ExternalName")
    report(["spec", "type"], "ExternalName is not supported", "use the name itself, or hostAliases in the pods");
  for (const [index, { nodePort }] of ports.entries()) {
    const path: FieldPath = ["spec", "ports", index, "nodePort"];
    if (nodePort === undefined || nodePort === 0) continue;
    if (nodePort > 65_535) report(path, `${nodePort} is no port`, "from 1 to 65535");
    else if (spec.type === "ClusterIP") report(path, "is for Services of type NodePort", "add type: NodePort");
  }
  unique(
    ports,
    ["spec", "ports"],
    (one) => (one.nodePort ? `${one.nodePort}/${one.protocol}` : undefined),
    "nodePort",
    report,
    "the nodePort",
  );
  unique(ports, ["spec", "ports"], (port) => port.name, "name", report, "the port name");
  unique(ports, ["spec", "ports"], (one) => `${one.port}/${one.protocol}`, "port", report, "the port");
  if (ports.length > 1) {
    for (const [index, { name }] of ports.entries()) {
      if (name === undefined)
        report(["spec", "ports", index, "name"], "is required when there are several ports", "name each of them");
    }
  }
}

function validateAddress({ clusterIP = "", clusterIPs = [], type }: Service["spec"], report: Report): void {
  const wrong = (address: string): boolean =>
    address !== "" && address !== "None" && (!isIpAddress(address) || address.includes(":"));
  const hint = "leave it out, or write None for a name alone";
  if (wrong(clusterIP)) report(["spec", "clusterIP"], `${JSON.stringify(clusterIP)} is no IPv4 address`, hint);
  for (const [index, address] of clusterIPs.entries()) {
    if (wrong(address)) report(["spec", "clusterIPs", index], `${JSON.stringify(address)} is no IPv4 address`, hint);
  }
  if (clusterIPs.length > 1)
    report(["spec", "clusterIPs"], "has several addresses; pods here have IPv4 only", "keep one");
  if (clusterIP !== "" && clusterIPs.length > 0 && clusterIPs[0] !== clusterIP)
    report(["spec", "clusterIPs", 0], `must be the same as clusterIP, ${clusterIP}`);
  if (clusterIP === "None" && type !== "ClusterIP")
    report(["spec", "clusterIP"], `None is for type ClusterIP, not ${type}`, hint);
}
