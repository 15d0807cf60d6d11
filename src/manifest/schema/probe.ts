/** Probes and lifecycle hooks. */
import { z } from "zod";
import {
  count,
  headerName,
  headerValue,
  intOrString,
  maybeCount,
  maybePositive,
  maybeText,
  port,
  stopSignal,
  text,
  texts,
} from "./fields.ts";

const execAction = z.strictObject({ command: texts.min(1).optional() }).optional();

const httpGetAction = z
  .strictObject({
    host: maybeText,
    httpHeaders: z.array(z.strictObject({ name: headerName, value: headerValue })).optional(),
    path: text.default("/").transform((path) => path || "/"),
    port: intOrString,
    scheme: z.enum(["HTTP", "HTTPS"]).default("HTTP"),
  })
  .optional();

const tcpSocketAction = z.strictObject({ host: maybeText, port: intOrString }).optional();

/** A number of which 0 means the default, as for the API server (SetDefaults_Probe). */
const orDefault = (value: number) =>
  z
    .int()
    .min(0)
    .max(2147483647)
    .default(value)
    .transform((given) => given || value);

export const probe = z.strictObject({
  exec: execAction,
  failureThreshold: orDefault(3),
  grpc: z.strictObject({ port, service: text.default("") }).optional(),
  httpGet: httpGetAction,
  initialDelaySeconds: maybeCount,
  periodSeconds: orDefault(10),
  successThreshold: orDefault(1),
  tcpSocket: tcpSocketAction,
  terminationGracePeriodSeconds: maybePositive,
  timeoutSeconds: orDefault(1),
});

const lifecycleHandler = z
  .strictObject({
    exec: execAction,
    httpGet: httpGetAction,
    sleep: z.strictObject({ seconds: count }).optional(),
    tcpSocket: tcpSocketAction,
  })
  .optional();

export const lifecycle = z.strictObject({
  postStart: lifecycleHandler,
  preStop: lifecycleHandler,
  stopSignal: stopSignal.optional(),
});

export type Probe = z.output<typeof probe>;
export type Lifecycle = z.output<typeof lifecycle>;
