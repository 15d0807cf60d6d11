/** Checks of Services (k8s.io/kubernetes/pkg/apis/core/validation, ValidateService). */
import { dnsLabelComplaint } from "../schema/fields.ts";
import type { Service } from "../schema/index.ts";
import type { Report } from "./index.ts";
import { unique } from "./unique.ts";

export function validateService({ metadata, spec }: Service, report: Report): void {
  const wrong = dnsLabelComplaint(metadata.name);
  if (wrong !== undefined) report(["metadata", "name"], `"${metadata.name}" ${wrong}`);
  const ports = spec.ports ?? [];
  if (ports.length === 0 && spec.clusterIP !== "None" && spec.type === "ClusterIP")
    report(["spec", "ports"], "must have at least one port", "or write clusterIP: None for a name alone");
  unique(ports, ["spec", "ports"], (port) => port.name, "name", report, "the port name");
  unique(ports, ["spec", "ports"], (one) => `${one.port}/${one.protocol}`, "port", report, "the port");
  if (ports.length > 1) {
    for (const [index, { name }] of ports.entries()) {
      if (name === undefined)
        report(["spec", "ports", index, "name"], "is required when there are several ports", "name each of them");
    }
  }
}
