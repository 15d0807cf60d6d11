import { constants } from "node:os";
import type { PodObject } from "../../api/contract.ts";
import type { Container, EnvVar, VolumeMount } from "../../manifest/index.ts";
import { type Field, renderFields } from "../output/fields.ts";
import { describeHook, describeProbe } from "./probe.ts";
import { timeAndAge } from "./time.ts";

export type ContainerStatus = NonNullable<PodObject["status"]["containerStatuses"]>[number];
type State = ContainerStatus["state"] | ContainerStatus["lastState"];

/** Everything about one container: what its manifest asks for, and how it is. */
export function describeContainer(
  container: Container,
  status: ContainerStatus | undefined,
  signers: readonly string[] | undefined,
  now: number,
): string[] {
  const ports = container.ports ?? [];
  const fields: Field[] = [
    ["Container ID", status?.containerID || "<none>"],
    ["Image", container.image],
    ["Image ID", status?.imageID || "<none>"],
    ["Signed By", signers],
    ["Pull Policy", container.imagePullPolicy],
    [
      "Ports",
      ports.map(
        ({ name, containerPort, protocol }) => `${containerPort}/${protocol}${name === undefined ? "" : ` (${name})`}`,
      ),
    ],
    [
      "Host Ports",
      ports.flatMap(({ hostIP, hostPort, protocol }) =>
        hostPort === undefined ? [] : [`${hostIP ?? "0.0.0.0"}:${hostPort}/${protocol}`],
      ),
    ],
    ["Command", container.command],
    ["Args", container.args],
    ["Working Dir", container.workingDir],
    ["Restart Policy", container.restartPolicy],
    ...stateFields("State", status?.state, now),
    ...stateFields("Last State", status?.lastState, now),
    ["Ready", status === undefined ? "False" : titled(status.ready)],
    ["Restart Count", String(status?.restartCount ?? 0)],
    ["Limits", amounts(container.resources.limits)],
    ["Requests", amounts(container.resources.requests)],
    ["Liveness", describeProbe(container.livenessProbe)],
    ["Readiness", describeProbe(container.readinessProbe)],
    ["Startup", describeProbe(container.startupProbe)],
    ["Post Start", describeHook(container.lifecycle?.postStart)],
    ["Pre Stop", describeHook(container.lifecycle?.preStop)],
    ["Security", securityOf(container)],
    ["Environment From", container.envFrom?.map(envFromLine)],
    ["Environment", (container.env ?? []).map(envLine)],
    ["Mounts", (container.volumeMounts ?? []).map(mountLine)],
  ];
  return [`  ${container.name}:`, ...renderFields(fields, 4)];
}

function stateFields(label: string, state: State | undefined, now: number): Field[] {
  if (state?.running !== undefined) {
    return [
      [label, "Running"],
      ["  Started", timeAndAge(state.running.startedAt, now)],
    ];
  }
  if (state?.terminated !== undefined) {
    const { reason, exitCode, message, startedAt, finishedAt } = state.terminated;
    return [
      [label, "Terminated"],
      ["  Reason", reason],
      ["  Message", message],
      ["  Exit Code", exitCodeText(exitCode)],
      ["  Started", timeAndAge(startedAt, now)],
      ["  Finished", timeAndAge(finishedAt, now)],
    ];
  }
  if (state?.waiting !== undefined) {
    return [
      [label, "Waiting"],
      ["  Reason", state.waiting.reason],
      ["  Message", state.waiting.message],
    ];
  }
  return label === "State" ? [[label, "Waiting"]] : [];
}

/** 128+n is what a shell reports for a process that signal n ended. */
function exitCodeText(exitCode: number): string {
  const name = Object.entries(constants.signals).find(([, number]) => number === exitCode - 128)?.[0];
  return name === undefined ? String(exitCode) : `${exitCode} (${name})`;
}

function titled(value: boolean): string {
  return value ? "True" : "False";
}

function amounts(quantities: Readonly<Record<string, string | number>> | undefined): string[] | undefined {
  if (quantities === undefined) return undefined;
  const lines = Object.entries(quantities).map(([resource, amount]) => `${resource} ${amount}`);
  return lines.length === 0 ? undefined : lines;
}

function securityOf({ securityContext }: Container): string[] | undefined {
  if (securityContext === undefined) return undefined;
  const { capabilities, seccompProfile, ...rest } = securityContext;
  const lines = Object.entries(rest).flatMap(([field, value]) =>
    typeof value === "boolean" || typeof value === "number" || typeof value === "string" ? [`${field} ${value}`] : [],
  );
  if (capabilities?.drop !== undefined) lines.push(`capabilities drop ${capabilities.drop.join(", ")}`);
  if (capabilities?.add !== undefined) lines.push(`capabilities add ${capabilities.add.join(", ")}`);
  if (seccompProfile !== undefined) lines.push(`seccomp ${seccompProfile.type}`);
  return lines.length === 0 ? undefined : lines;
}

/** What comes from a Secret is named, never shown. */
function envLine({ name, value, valueFrom }: EnvVar): string {
  if (valueFrom?.secretKeyRef !== undefined) {
    return `${name}: <key '${valueFrom.secretKeyRef.key}' of secret '${valueFrom.secretKeyRef.name}'>`;
  }
  if (valueFrom?.configMapKeyRef !== undefined) {
    return `${name}: <key '${valueFrom.configMapKeyRef.key}' of config map '${valueFrom.configMapKeyRef.name}'>`;
  }
  if (valueFrom?.fieldRef !== undefined) return `${name}: <field ${valueFrom.fieldRef.fieldPath}>`;
  if (valueFrom?.resourceFieldRef !== undefined) return `${name}: <resource ${valueFrom.resourceFieldRef.resource}>`;
  return `${name}: ${value ?? ""}`;
}

type EnvFrom = NonNullable<Container["envFrom"]>[number];

function envFromLine({ configMapRef, secretRef, prefix }: EnvFrom): string {
  const optional = (configMapRef?.optional ?? secretRef?.optional) === true ? ", optional" : "";
  const from = configMapRef === undefined ? `secret '${secretRef?.name ?? ""}'` : `config map '${configMapRef.name}'`;
  return `${from}${prefix ? `, prefix '${prefix}'` : ""}${optional}`;
}

function mountLine({ name, mountPath, readOnly, subPath, subPathExpr }: VolumeMount): string {
  const path = subPath ?? subPathExpr;
  return `${mountPath} from ${name} (${readOnly === true ? "ro" : "rw"}${path === undefined ? "" : `, path ${path}`})`;
}
