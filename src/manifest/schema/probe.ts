/** Probes and lifecycle hooks. */
import { z } from "zod";
import {
  count,
  intOrString,
  maybeCount,
  maybePositive,
  maybeText,
  port,
  positive,
  someText,
  text,
  texts,
} from "./fields.ts";

const execAction = z.strictObject({ command: texts.min(1).optional() }).optional();

const httpGetAction = z
  .strictObject({
    host: maybeText,
    httpHeaders: z.array(z.strictObject({ name: someText, value: text })).optional(),
    path: text.default("/"),
    port: intOrString,
    scheme: z.enum(["HTTP", "HTTPS"]).default("HTTP"),
  })
  .optional();

const tcpSocketAction = z.strictObject({ host: maybeText, port: intOrString }).optional();

export const probe = z.strictObject({
  exec: execAction,
  failureThreshold: positive.default(3),
  grpc: z.strictObject({ port, service: text.default("") }).optional(),
  httpGet: httpGetAction,
  initialDelaySeconds: maybeCount,
  periodSeconds: positive.default(10),
  successThreshold: positive.default(1),
  tcpSocket: tcpSocketAction,
  terminationGracePeriodSeconds: maybePositive,
  timeoutSeconds: positive.default(1),
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
  stopSignal: maybeText,
});

export type Probe = z.output<typeof probe>;
export type Lifecycle = z.output<typeof lifecycle>;
