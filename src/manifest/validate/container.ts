/** Checks across the fields of one container. */

import { nearestName } from "../../system/nearest.ts";
import type { FieldPath } from "../issue.ts";
import { parseQuantity } from "../quantity.ts";
import { isIpAddress } from "../schema/fields.ts";
import type { Container, Probe } from "../schema/index.ts";
import type { Report } from "./index.ts";
import { unique } from "./unique.ts";

export type ContainerKind = "app" | "init";

export interface ContainerContext {
  readonly kind: ContainerKind;
  readonly volumes: ReadonlySet<string>;
  readonly hostNetwork: boolean;
  /** terminationGracePeriodSeconds of the pod. */
  readonly graceSeconds: number;
}

export function validateContainer(
  container: Container,
  path: FieldPath,
  context: ContainerContext,
  report: Report,
): void {
  validatePorts(container, path, context, report);
  validateMounts(container, path, context, report);
  validateResources(container.resources, path, report);
  validateProbes(container, path, context, report);
  if (context.kind === "init" && container.restartPolicy !== undefined && container.restartPolicy !== "Always") {
    report(
      [...path, "restartPolicy"],
      `"${container.restartPolicy}" is not possible for an init container`,
      'only "Always" is: it makes it a sidecar',
    );
  }
  if (!container.terminationMessagePath.startsWith("/") && container.terminationMessagePath !== "") {
    report(
      [...path, "terminationMessagePath"],
      `${JSON.stringify(container.terminationMessagePath)} must be an absolute path`,
    );
  }
}

function validatePorts(container: Container, path: FieldPath, context: ContainerContext, report: Report): void {
  const ports = container.ports ?? [];
  unique(ports, [...path, "ports"], (port) => port.name, "name", report, "the port name");
  for (const [index, port] of ports.entries()) {
    const at = [...path, "ports", index];
    if (port.hostIP !== undefined && port.hostIP !== "" && !isIpAddress(port.hostIP)) {
      report([...at, "hostIP"], `${JSON.stringify(port.hostIP)} must be an IPv4 or IPv6 address`);
    }
    if (context.hostNetwork && port.hostPort !== undefined && port.hostPort !== port.containerPort) {
      report(
        [...at, "hostPort"],
        `must be the containerPort ${port.containerPort} with hostNetwork, not ${port.hostPort}`,
        "remove hostPort",
      );
    }
  }
}

function validateMounts(container: Container, path: FieldPath, context: ContainerContext, report: Report): void {
  const mounts = container.volumeMounts ?? [];
  unique(mounts, [...path, "volumeMounts"], (mount) => mount.mountPath, "mountPath", report, "the mount path");
  for (const [index, mount] of mounts.entries()) {
    const at = [...path, "volumeMounts", index];
    if (!context.volumes.has(mount.name)) {
      const near = nearestName(mount.name, [...context.volumes]);
      report(
        [...at, "name"],
        `there is no volume "${mount.name}" in spec.volumes`,
        near === undefined ? "add it there" : `did you mean '${near}'?`,
      );
    }
    if (mount.mountPath.includes(":"))
      report([...at, "mountPath"], `${JSON.stringify(mount.mountPath)} must not contain ':'`);
    if (
      mount.subPath !== undefined &&
      mount.subPath !== "" &&
      mount.subPathExpr !== undefined &&
      mount.subPathExpr !== ""
    ) {
      report([...at, "subPathExpr"], "can't be together with subPath", "remove one of them");
    }
    if (mount.mountPropagation === "Bidirectional" && container.securityContext?.privileged !== true) {
      report(
        [...at, "mountPropagation"],
        "Bidirectional is for privileged containers only",
        "set securityContext.privileged or use HostToContainer",
      );
    }
    if (mount.recursiveReadOnly !== undefined && mount.recursiveReadOnly !== "Disabled" && mount.readOnly !== true) {
      report([...at, "recursiveReadOnly"], "needs readOnly: true");
    }
  }
}

type Resources = Pick<Container["resources"], "limits" | "requests">;

/** What containers and pods ask for: amounts of what there is, and no request beyond its limit. */
export function validateResources({ limits, requests }: Resources, path: FieldPath, report: Report): void {
  for (const [list, quantities] of [
    ["limits", limits],
    ["requests", requests],
  ] as const) {
    for (const [resource, quantity] of Object.entries(quantities ?? {})) {
      if ((parseQuantity(quantity) ?? 0) < 0)
        report([...path, "resources", list, resource], `${quantity} must not be negative`);
      // What is not requested is the limit, and was said there.
      const ofLimits = list === "requests" && limits?.[resource] === quantity;
      if (!ofLimits && resource === "memory") validateMemory(quantity, [...path, "resources", list, resource], report);
      if (!ofLimits && !/^(cpu|memory|ephemeral-storage|hugepages-.+)$/.test(resource) && !resource.includes("/")) {
        const near = nearestName(resource, ["cpu", "memory", "ephemeral-storage"]);
        report(
          [...path, "resources", list, resource],
          `unknown resource '${resource}'`,
          near === undefined ? "cpu and memory are known" : `did you mean '${near}'?`,
        );
      }
    }
  }
  for (const [resource, request] of Object.entries(requests ?? {})) {
    const limit = limits?.[resource];
    if (limit !== undefined && (parseQuantity(request) ?? 0) > (parseQuantity(limit) ?? 0)) {
      report(
        [...path, "resources", "requests", resource],
        `the request ${request} is larger than the limit ${limit}`,
        "lower the request or raise the limit",
      );
    }
  }
}

/** Bytes; no process runs in less than a few pages of memory. */
const LEAST_MEMORY = 64 * 1024;

/** Units that were forgotten or mixed up with those of the CPU. The API server lets them pass; no container would start. */
function validateMemory(quantity: string, at: FieldPath, report: Report): void {
  const bytes = parseQuantity(quantity) ?? 0;
  const [number] = /^\d+(\.\d+)?/.exec(quantity) ?? [];
  const hint = number === undefined ? undefined : `did you mean ${number}Mi?`;
  if (!Number.isInteger(bytes)) report(at, `${quantity} of memory is a fraction of a byte`, hint);
  else if (at.includes("limits") && bytes > 0 && bytes < LEAST_MEMORY)
    report(at, `${quantity} is ${bytes} bytes: nothing runs in that little memory`, hint);
}

function validateProbes(container: Container, path: FieldPath, context: ContainerContext, report: Report): void {
  const plainInit = context.kind === "init" && container.restartPolicy !== "Always";
  for (const name of ["livenessProbe", "readinessProbe", "startupProbe"] as const) {
    const probe = container[name];
    if (probe === undefined) continue;
    const at = [...path, name];
    if (plainInit) report(at, "init containers have no probes", "only sidecars (restartPolicy: Always) do");
    oneHandler(probe, ["exec", "httpGet", "tcpSocket", "grpc"], at, report);
    validateProbe(probe, name, at, report);
    validateAction(probe, container, at, report);
  }
  const { lifecycle } = container;
  if (lifecycle === undefined) return;
  if (plainInit && (lifecycle.postStart !== undefined || lifecycle.preStop !== undefined)) {
    report(
      [...path, "lifecycle"],
      "init containers have no lifecycle hooks",
      "only sidecars (restartPolicy: Always) do",
    );
  }
  for (const hook of ["postStart", "preStop"] as const) {
    const handler = lifecycle[hook];
    if (handler === undefined) continue;
    const at = [...path, "lifecycle", hook];
    oneHandler(handler, ["exec", "httpGet", "sleep", "tcpSocket"], at, report);
    validateAction(handler, container, at, report);
    const seconds = handler.sleep?.seconds ?? 0;
    if (seconds > context.graceSeconds) {
      report(
        [...at, "sleep", "seconds"],
        `${seconds} is longer than the grace of the pod, ${context.graceSeconds} s`,
        "lower it, or raise terminationGracePeriodSeconds",
      );
    }
  }
}

/** What an action needs: a command to run, a port that is there. */
function validateAction(
  action: Pick<Probe, "exec" | "httpGet" | "tcpSocket">,
  container: Container,
  at: FieldPath,
  report: Report,
): void {
  if (action.exec !== undefined && action.exec.command === undefined) report([...at, "exec"], "must have a command");
  const names = (container.ports ?? []).flatMap(({ name }) => name ?? []);
  for (const kind of ["httpGet", "tcpSocket"] as const) {
    const port = action[kind]?.port;
    if (typeof port !== "string" || names.includes(port)) continue;
    const near = nearestName(port, names);
    report(
      [...at, kind, "port"],
      `container ${container.name} has no port named "${port}"`,
      near === undefined ? "name one of its ports, or write the number" : `did you mean '${near}'?`,
    );
  }
}

function validateProbe(probe: Probe, name: string, at: FieldPath, report: Report): void {
  if (name !== "readinessProbe" && probe.successThreshold !== 1) {
    report([...at, "successThreshold"], `must be 1 for a ${name}, not ${probe.successThreshold}`);
  }
  if (name === "readinessProbe" && probe.terminationGracePeriodSeconds !== undefined) {
    report([...at, "terminationGracePeriodSeconds"], "a readinessProbe never stops a container", "remove it");
  }
}

/** Exactly one of the actions must be there. */
function oneHandler<T extends object>(
  handler: T,
  actions: readonly (keyof T & string)[],
  at: FieldPath,
  report: Report,
): void {
  const given = actions.filter((action) => handler[action] !== undefined);
  if (given.length === 0) report(at, `must say how: one of ${actions.join(", ")}`);
  const [first, second] = given;
  if (second !== undefined) report([...at, second], `can't be together with ${first}`, "keep one of them");
}
