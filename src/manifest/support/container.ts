/** What Gantry does with the fields of a container. */
import type { Container, Lifecycle, ResourceRequirements, SecurityContext } from "../schema/index.ts";
import { type ByKey, type Fields, later, noEffect, only, type Rule, type Verdict } from "./rules.ts";

/** Amounts of these, and of nothing else. */
export function resourceKeys(...keys: readonly string[]): ByKey {
  const known = `${keys.slice(0, -1).join(", ")} and ${keys.at(-1)}`;
  return { keys, otherwise: (key) => ({ refused: `the resource ${key} is not supported here; ${known} are` }) };
}

const amounts = resourceKeys("cpu", "memory", "ephemeral-storage");

const resources: Fields<ResourceRequirements> = {
  claims: later("resource claims"),
  limits: amounts,
  requests: amounts,
};

export const windowsOptions: Verdict = { refused: "Gantry runs Linux containers only" };

const securityContext: Fields<SecurityContext> = {
  allowPrivilegeEscalation: "supported",
  appArmorProfile: "supported",
  capabilities: "supported",
  privileged: "supported",
  procMount: "supported",
  readOnlyRootFilesystem: "supported",
  runAsGroup: "supported",
  runAsNonRoot: "supported",
  runAsUser: "supported",
  seLinuxOptions: "supported",
  seccompProfile: "supported",
  windowsOptions,
};

const hook: Fields<NonNullable<Lifecycle["postStart"]>> = {
  exec: "supported",
  httpGet: "supported",
  sleep: "supported",
  tcpSocket: { refused: "a hook can't be a tcpSocket: in Kubernetes it would fail when it is run" },
};

/** `restartPolicy` differs between containers and init containers. */
export function containerRules(restartPolicy: Rule<string>): Fields<Container> {
  return {
    args: "supported",
    command: "supported",
    env: {
      fields: {
        name: "supported",
        value: "supported",
        valueFrom: {
          fields: {
            configMapKeyRef: "supported",
            fieldRef: "supported",
            fileKeyRef: later("env files in volumes (fileKeyRef)"),
            resourceFieldRef: "supported",
            secretKeyRef: "supported",
          },
        },
      },
    },
    envFrom: "supported",
    image: "supported",
    imagePullPolicy: "supported",
    lifecycle: {
      fields: { postStart: { fields: hook }, preStop: { fields: hook }, stopSignal: "supported" },
    },
    livenessProbe: "supported",
    name: "supported",
    ports: "supported",
    readinessProbe: "supported",
    resizePolicy: noEffect("a change of resources restarts the container"),
    resources: { fields: resources },
    restartPolicy,
    restartPolicyRules: later("restart rules of single containers"),
    securityContext: { fields: securityContext },
    startupProbe: "supported",
    stdin: "supported",
    stdinOnce: "supported",
    terminationMessagePath: "supported",
    terminationMessagePolicy: "supported",
    tty: "supported",
    volumeDevices: later("block devices"),
    volumeMounts: {
      fields: {
        mountPath: "supported",
        mountPropagation: "supported",
        name: "supported",
        readOnly: "supported",
        recursiveReadOnly: only(["Disabled"], "recursive read-only mounts are not supported yet"),
        subPath: "supported",
        subPathExpr: "supported",
      },
    },
    workingDir: "supported",
  };
}
