/** Checks across the fields of a pod (k8s.io/kubernetes/pkg/apis/core/validation). */

import { annotationProblems } from "../../update/annotations.ts";
import type { FieldPath } from "../issue.ts";
import { podAnnotationProblems } from "../pod-annotations.ts";
import { containersNeed, wholeResources } from "../pod-resources.ts";
import { parseQuantity, quantityText } from "../quantity.ts";
import type { Pod, PodSpec } from "../schema/index.ts";
import { type ContainerKind, validateContainer, validateResources } from "./container.ts";
import { validateEnv } from "./env.ts";
import type { Report } from "./index.ts";
import { validateSecurity } from "./security.ts";
import { unique } from "./unique.ts";
import { validateVolumes } from "./volume.ts";

export function validatePod(pod: Pod, report: Report): void {
  const { spec } = pod;
  for (const { annotation, message } of annotationProblems(pod.metadata.annotations))
    report(["metadata", "annotations", annotation], message);
  for (const { annotation, message, hint } of podAnnotationProblems(pod.metadata.annotations))
    report(["metadata", "annotations", annotation], message, hint);
  validateContainerNames(spec, report);
  validateWhole(pod, report);
  validateHostPorts(spec, report);
  validateDns(spec, report);
  validateHostNamespaces(spec, report);
  validateSecurity(pod, report);
  validateVolumes(spec.volumes ?? [], report);
  const volumes = new Set((spec.volumes ?? []).map((volume) => volume.name));
  const graceSeconds = spec.terminationGracePeriodSeconds;
  for (const [list, kind] of LISTS) {
    for (const [index, container] of (spec[list] ?? []).entries()) {
      const path: FieldPath = ["spec", list, index];
      validateContainer(
        container,
        path,
        { kind, volumes, hostNetwork: spec.hostNetwork === true, graceSeconds },
        report,
      );
      validateEnv(container, path, report);
    }
  }
}

/** k8s.io/kubernetes/pkg/apis/core/validation, validatePodResourceConsistency. */
function validateWhole(pod: Pod, report: Report): void {
  const { resources } = pod.spec;
  if (resources === undefined) return;
  validateResources(resources, ["spec"], report);
  const whole = wholeResources(pod);
  for (const name of ["cpu", "memory"] as const) {
    const amount = (text: string | undefined): number | undefined =>
      text === undefined ? undefined : (parseQuantity(text) ?? 0);
    const [request, limit] = [amount(resources.requests?.[name]), amount(resources.limits?.[name])];
    const together = containersNeed(pod, name, "requests");
    const least = resources.requests?.[name] ?? resources.limits?.[name];
    if (together > (request ?? limit ?? Number.POSITIVE_INFINITY)) {
      const list = request === undefined ? "limits" : "requests";
      report(
        ["spec", "resources", list, name],
        `${least} is less than what the containers request together, ${name === "cpu" ? together : quantityText(together)}`,
        "raise it, or lower the containers' requests",
      );
    }
    for (const [list] of LISTS) {
      for (const [index, container] of (pod.spec[list] ?? []).entries()) {
        const own = container.resources.limits?.[name];
        if (limit === undefined || own === undefined || (amount(own) ?? 0) <= limit) continue;
        report(
          ["spec", list, index, "resources", "limits", name],
          `${own} is more than the limit of the whole pod, ${whole?.limits[name]}`,
          "lower it, or raise spec.resources.limits",
        );
      }
    }
  }
}

const LISTS: readonly (readonly ["containers" | "initContainers", ContainerKind])[] = [
  ["initContainers", "init"],
  ["containers", "app"],
];

function validateContainerNames(spec: PodSpec, report: Report): void {
  const seen = new Map<string, string>();
  for (const [list] of LISTS) {
    for (const [index, { name }] of (spec[list] ?? []).entries()) {
      const first = seen.get(name);
      if (first !== undefined)
        report(
          ["spec", list, index, "name"],
          `the container name "${name}" is taken by spec.${first}`,
          "each must be unique",
        );
      else seen.set(name, `${list}[${index}]`);
    }
  }
}

/** A host port belongs to one container port; init containers may use it again, as they are gone by then. */
function validateHostPorts(spec: PodSpec, report: Report): void {
  for (const [list] of LISTS) {
    const seen = new Set<string>();
    for (const [index, container] of (spec[list] ?? []).entries()) {
      for (const [portIndex, port] of (container.ports ?? []).entries()) {
        const hostPort = port.hostPort ?? (spec.hostNetwork === true ? port.containerPort : undefined);
        if (hostPort === undefined) continue;
        const key = `${port.protocol} ${port.hostIP ?? ""} ${hostPort}`;
        const field = port.hostPort === undefined ? "containerPort" : "hostPort";
        const path: FieldPath = ["spec", list, index, "ports", portIndex, field];
        if (seen.has(key))
          report(path, `the host port ${hostPort}/${port.protocol} is used twice in this pod`, "give it another port");
        seen.add(key);
      }
    }
  }
}

function validateDns(spec: PodSpec, report: Report): void {
  const { dnsConfig, dnsPolicy } = spec;
  const nameservers = dnsConfig?.nameservers ?? [];
  const base: FieldPath = ["spec", "dnsConfig"];
  if (dnsPolicy === "None" && nameservers.length === 0) {
    report([...base, "nameservers"], "dnsPolicy None needs at least one nameserver", "add dnsConfig.nameservers");
  }
  if (nameservers.length > 3) report([...base, "nameservers"], `has ${nameservers.length} nameservers; the most is 3`);
  const searches = dnsConfig?.searches ?? [];
  if (searches.length > 32) report([...base, "searches"], `has ${searches.length} search domains; the most is 32`);
  if (searches.join(" ").length > 2048) report([...base, "searches"], "is longer than 2048 characters");
  for (const [index, domain] of searches.entries()) {
    if (
      !/^\.?$|^[A-Za-z0-9_]([-A-Za-z0-9_]*[A-Za-z0-9_])?(\.[A-Za-z0-9_]([-A-Za-z0-9_]*[A-Za-z0-9_])?)*\.?$/.test(domain)
    ) {
      report([...base, "searches", index], `${JSON.stringify(domain)} is no domain name`);
    }
  }
  if (spec.hostnameOverride !== undefined) {
    const path: FieldPath = ["spec", "hostnameOverride"];
    if (spec.hostnameOverride.length > 64)
      report(path, `has ${spec.hostnameOverride.length} characters; the most is 64`);
    if (spec.hostNetwork === true) report(path, "can't be together with hostNetwork", "remove one of them");
    if (spec.setHostnameAsFQDN === true) report(path, "can't be together with setHostnameAsFQDN", "remove one of them");
  }
  for (const [index, alias] of (spec.hostAliases ?? []).entries()) {
    for (const [hostIndex, host] of (alias.hostnames ?? []).entries()) {
      if (!/^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/.test(host)) {
        report(["spec", "hostAliases", index, "hostnames", hostIndex], `${JSON.stringify(host)} is no host name`);
      }
    }
  }
}

/** Those that a pod has of its own, where it shares the host's kernel: k8s.io/kubernetes/pkg/kubelet/sysctl, namespaces.go. */
const NAMESPACED_SYSCTL = /^(kernel[./](sem$|shm|msg)|fs[./]mqueue[./]|net[./])/;

function validateHostNamespaces(spec: PodSpec, report: Report): void {
  if (spec.shareProcessNamespace === true && spec.hostPID === true) {
    report(["spec", "shareProcessNamespace"], "can't be together with hostPID", "remove one of them");
  }
  if (spec.hostUsers === false) {
    for (const field of ["hostNetwork", "hostPID", "hostIPC"] as const) {
      if (spec[field] === true)
        report(["spec", field], "can't be together with hostUsers: false", "remove one of them");
    }
  }
  const sysctls = spec.securityContext.sysctls ?? [];
  unique(sysctls, ["spec", "securityContext", "sysctls"], (sysctl) => sysctl.name, "name", report, "the sysctl");
  for (const [index, { name }] of sysctls.entries()) {
    const path: FieldPath = ["spec", "securityContext", "sysctls", index, "name"];
    if (
      name.length > 253 ||
      !/^([a-z0-9][-_a-z0-9]*[a-z0-9]|[a-z0-9])([./]([a-z0-9][-_a-z0-9]*[a-z0-9]|[a-z0-9]))*$/.test(name)
    ) {
      report(path, `${JSON.stringify(name)} is no name of a sysctl`, "e.g. net.core.somaxconn");
    } else if (!NAMESPACED_SYSCTL.test(name) && spec.runtimeClassName !== "microvm") {
      report(
        path,
        `${name} is a setting of the whole host, not of a pod`,
        "set it on the host with sysctl, leave it out, or use runtimeClassName: microvm, which has a kernel of its own",
      );
    }
    if (spec.hostNetwork === true && /^net[./]/.test(name)) report(path, `${name} can't be set with hostNetwork`);
    if (spec.hostIPC === true && /^(kernel[./](shm|msg|sem)|fs[./]mqueue)/.test(name))
      report(path, `${name} can't be set with hostIPC`);
  }
}
