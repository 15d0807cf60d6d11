/** Containers, with the defaults that the API server fills in (k8s.io/kubernetes/pkg/apis/core/v1/defaults.go). */
import { z } from "zod";
import { envFromSource, envVar } from "./env.ts";
import {
  dnsLabel,
  image,
  maybeFlag,
  maybeLabel,
  maybePort,
  maybeQuantities,
  maybeRelativePath,
  maybeText,
  maybeTexts,
  path,
  port,
  portName,
  pullPolicy,
  someText,
  text,
} from "./fields.ts";
import { lifecycle, probe } from "./probe.ts";
import { securityContext } from "./security.ts";

/** Of a pod as a whole: what is left out there hangs on its containers. */
export const podResourceRequirements = z.strictObject({
  claims: z.array(z.strictObject({ name: someText, request: maybeText })).optional(),
  limits: maybeQuantities,
  requests: maybeQuantities,
});

/** Requests that are not given are the limits. */
export const resourceRequirements = podResourceRequirements.transform((value) =>
  value.limits === undefined ? value : { ...value, requests: { ...value.limits, ...value.requests } },
);

const containerPort = z.strictObject({
  containerPort: port,
  hostIP: maybeText,
  hostPort: maybePort,
  name: portName.optional(),
  protocol: z.enum(["TCP", "UDP", "SCTP"]).default("TCP"),
});

const volumeMount = z.strictObject({
  mountPath: path,
  mountPropagation: z.enum(["None", "HostToContainer", "Bidirectional"]).optional(),
  name: someText,
  readOnly: maybeFlag,
  recursiveReadOnly: z.enum(["Disabled", "IfPossible", "Enabled"]).optional(),
  subPath: maybeRelativePath,
  subPathExpr: maybeRelativePath,
});

const restartRule = z.strictObject({
  action: z.enum(["Restart", "RestartAllContainers"]),
  exitCodes: z
    .strictObject({ operator: z.enum(["In", "NotIn"]), values: z.array(z.int().min(0).max(255)).optional() })
    .optional(),
});

const maybeProbe = probe.optional();
const MESSAGE_PATH = "/dev/termination-log";

const containerFields = {
  args: maybeTexts,
  command: maybeTexts,
  env: z.array(envVar).optional(),
  envFrom: z.array(envFromSource).optional(),
  image,
  imagePullPolicy: pullPolicy.optional(),
  lifecycle: lifecycle.optional(),
  livenessProbe: maybeProbe,
  name: dnsLabel,
  ports: z.array(containerPort).optional(),
  readinessProbe: maybeProbe,
  resizePolicy: z
    .array(z.strictObject({ resourceName: someText, restartPolicy: z.enum(["NotRequired", "RestartContainer"]) }))
    .optional(),
  resources: resourceRequirements.prefault({}),
  restartPolicy: z.enum(["Always", "OnFailure", "Never"]).optional(),
  restartPolicyRules: z.array(restartRule).optional(),
  securityContext: securityContext.optional(),
  startupProbe: maybeProbe,
  stdin: maybeFlag,
  stdinOnce: maybeFlag,
  terminationMessagePath: text.default(MESSAGE_PATH).transform((path) => path || MESSAGE_PATH),
  terminationMessagePolicy: z.enum(["File", "FallbackToLogsOnError"]).default("File"),
  tty: maybeFlag,
  volumeDevices: z.array(z.strictObject({ devicePath: path, name: someText })).optional(),
  volumeMounts: z.array(volumeMount).optional(),
  workingDir: maybeText,
};

/** Always for `:latest` or no tag, IfNotPresent for any other tag or a digest. */
export function defaultPullPolicy(reference: string): PullPolicy {
  if (reference.includes("@")) return "IfNotPresent";
  const last = reference.slice(reference.lastIndexOf("/") + 1);
  const colon = last.indexOf(":");
  return colon < 0 || last.slice(colon + 1) === "latest" ? "Always" : "IfNotPresent";
}

export const container = z
  .strictObject(containerFields)
  .transform((value) => ({ ...value, imagePullPolicy: value.imagePullPolicy ?? defaultPullPolicy(value.image) }));

/** What `kubectl debug` adds; never run from a manifest. */
export const ephemeralContainer = z.strictObject({ ...containerFields, targetContainerName: maybeLabel });

export type PullPolicy = z.output<typeof pullPolicy>;
export type Container = z.output<typeof container>;
export type ContainerPort = z.output<typeof containerPort>;
export type ResourceRequirements = z.output<typeof resourceRequirements>;
export type VolumeMount = z.output<typeof volumeMount>;
