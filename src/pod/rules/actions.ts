/** From what a manifest says of probes and hooks to what is to be done. Pure. */
import { z } from "zod";
import type { Container, Lifecycle, Probe } from "../../manifest/index.ts";
import type { HookAction, HttpGetAction, ProbeAction } from "../../probe/contract.ts";
import { GantryError } from "../../system/errors.ts";
import { expand } from "./expand.ts";

/**
 * @param podIp where the pod is asked when the probe names no host
 * @throws GantryError invalid-manifest for a port name that the container does not have
 */
export function probeAction(probe: Probe, container: Container, podIp: string): ProbeAction {
  const { exec, httpGet, tcpSocket, grpc } = probe;
  if (exec !== undefined) {
    // References to variables with a plain value are expanded (ExpandContainerCommandOnlyStatic).
    const values = new Map(
      (container.env ?? []).flatMap(({ name, value }) => (value === undefined ? [] : [[name, value]])),
    );
    return { type: "exec", command: (exec.command ?? []).map((word) => expand(word, (name) => values.get(name))) };
  }
  if (httpGet !== undefined) return httpAction(httpGet, container, podIp);
  if (tcpSocket !== undefined) {
    return { type: "tcpSocket", host: tcpSocket.host || podIp, port: portOf(tcpSocket.port, container) };
  }
  if (grpc !== undefined) return { type: "grpc", host: podIp, port: grpc.port, service: grpc.service };
  throw new GantryError("invalid-manifest", `a probe of container ${container.name} says nothing to do`);
}

/** @throws GantryError invalid-manifest, unsupported (tcpSocket, which fails in Kubernetes too) */
export function hookAction(hook: NonNullable<Lifecycle["postStart"]>, container: Container, podIp: string): HookAction {
  const { exec, httpGet, sleep } = hook;
  if (exec !== undefined) return { type: "exec", command: exec.command ?? [] };
  if (httpGet !== undefined) return httpAction(httpGet, container, podIp);
  if (sleep !== undefined) return { type: "sleep", ms: sleep.seconds * 1000 };
  throw new GantryError("unsupported", `a hook of container ${container.name} is neither exec, httpGet nor sleep`);
}

function httpAction(httpGet: NonNullable<Probe["httpGet"]>, container: Container, podIp: string): HttpGetAction {
  const { scheme, host, port, path, httpHeaders = [] } = httpGet;
  return {
    type: "httpGet",
    scheme,
    host: host || podIp,
    port: portOf(port, container),
    path,
    headers: httpHeaders.map(({ name, value }) => ({ name, value })),
  };
}

/** A name is that of one of the container's own ports. @throws GantryError invalid-manifest */
export function portOf(port: number | string, { name, ports = [] }: Pick<Container, "name" | "ports">): number {
  if (typeof port === "number") return port;
  const found = ports.find((one) => one.name === port);
  if (found !== undefined) return found.containerPort;
  throw new GantryError("invalid-manifest", `container ${name} has no port named ${JSON.stringify(port)}`);
}

const storedHook = z.discriminatedUnion("type", [
  z.object({ type: z.literal("exec"), command: z.array(z.string()) }),
  z.object({
    type: z.literal("httpGet"),
    scheme: z.enum(["HTTP", "HTTPS"]),
    host: z.string(),
    port: z.number(),
    path: z.string(),
    headers: z.array(z.object({ name: z.string(), value: z.string() })),
  }),
  z.object({ type: z.literal("sleep"), ms: z.number() }),
]) satisfies z.ZodType<HookAction>;

/** A hook as a label of its container: the spec may be another by the time that the container is stopped. */
export function hookLabel(action: HookAction): string {
  return JSON.stringify(action);
}

/** @returns undefined when there is none, or one that this version does not understand */
export function parseHookLabel(label: string | undefined, podIp: string): HookAction | undefined {
  if (label === undefined) return undefined;
  try {
    const action = storedHook.parse(JSON.parse(label));
    return action.type === "httpGet" && action.host === "" ? { ...action, host: podIp } : action;
  } catch {
    return undefined;
  }
}
