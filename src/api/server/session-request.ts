import type { IncomingMessage } from "node:http";
import { GantryError } from "../../system/errors.ts";
import { FORWARD_PROTOCOLS, PROTOCOLS } from "../channels.ts";
import type { PodObject } from "../contract.ts";
import { Query } from "./query.ts";

/** A session in a pod, as a client asks for it. */
export type SessionRequest = { readonly namespace: string; readonly name: string } & (
  | (ExecStreams & { readonly verb: "exec"; readonly container: string; readonly command: readonly string[] })
  | (ExecStreams & { readonly verb: "attach"; readonly container: string })
  /** Ports are only in the request of those that speak channels; others name them as they go. */
  | { readonly verb: "portforward"; readonly ports: readonly number[] }
);

export interface ExecStreams {
  readonly stdin: boolean;
  readonly stdout: boolean;
  readonly stderr: boolean;
  readonly tty: boolean;
}

/** How a session is carried. `protocol` is what both ends have agreed on. */
export interface SessionWire {
  readonly over: "websocket" | "spdy";
  readonly protocol: string;
}

type Verb = SessionRequest["verb"];
const SESSION_PATH = /^\/api\/v1\/namespaces\/([^/]+)\/pods\/([^/]+)\/(exec|attach|portforward)$/;
/** What SPDY's clients offer in X-Stream-Protocol-Version. */
const SPDY_PROTOCOLS: Readonly<Record<Verb, string>> = {
  exec: "v4.channel.k8s.io",
  attach: "v4.channel.k8s.io",
  portforward: "portforward.k8s.io",
};
const DEFAULT_CONTAINER = "kubectl.kubernetes.io/default-container";
/** The header of SPDY's clients, one or several times. */
const OFFERED = "x-stream-protocol-version";

/** @throws GantryError not-found for any other path, or where there is no such pod or container; usage */
export function readSessionRequest(url: string, pods: readonly PodObject[]): SessionRequest {
  const { namespace, name, verb } = target(url);
  const pod = pods.find(({ metadata }) => metadata.namespace === namespace && metadata.name === name);
  if (pod === undefined) {
    throw new GantryError("not-found", `pods "${name}" not found: there is no Pod ${namespace}/${name}`, {
      hint: "See 'gantry status' for what there is.",
    });
  }
  const query = new Query(url);
  if (verb === "portforward") return { namespace, name, verb, ports: readPorts(query) };
  const command = query.all("command");
  if (verb === "exec" && (command.length === 0 || command[0] === "")) {
    throw new GantryError("usage", "no command is given", { hint: "Add ?command=NAME&command=ARGUMENT …" });
  }
  const tty = query.flag("tty");
  const [stdin, stdout] = [query.flag("stdin"), query.flag("stdout")];
  const stderr = query.flag("stderr") && !tty;
  if (!stdin && !stdout && !stderr) {
    throw new GantryError("usage", "at least one of stdin, stdout and stderr must be asked for", {
      hint: "Add &stdout=true.",
    });
  }
  const container = chooseContainer(pod, query.text("container"));
  const streams = { stdin, stdout, stderr, tty };
  return verb === "exec"
    ? { namespace, name, verb, container, command, ...streams }
    : { namespace, name, verb, container, ...streams };
}

/**
 * The container that is asked for, else that of the pod's annotation, else its first.
 * @throws GantryError not-found
 */
export function chooseContainer(pod: PodObject, asked: string | undefined): string {
  const { containers, initContainers = [] } = pod.spec;
  const names = [...containers, ...initContainers].map((one) => one.name);
  const annotated = pod.metadata.annotations?.[DEFAULT_CONTAINER];
  const wanted = asked ?? (annotated !== undefined && names.includes(annotated) ? annotated : names[0]);
  if (wanted !== undefined && names.includes(wanted)) return wanted;
  throw new GantryError("not-found", `container ${wanted ?? ""} is not valid for pod ${pod.metadata.name}`, {
    hint: `It has: ${names.join(", ")}`,
  });
}

/** @throws GantryError usage when the client speaks nothing that is spoken here */
export function chooseWire(request: IncomingMessage): SessionWire {
  const { verb } = target(request.url ?? "");
  const upgrade = request.headers.upgrade?.toLowerCase();
  if (upgrade === "websocket" && request.method === "GET") {
    const known = webSocketProtocols(verb);
    const offered = listOf(request.headers["sec-websocket-protocol"]);
    const protocol = known.find((one) => offered.includes(one));
    if (protocol !== undefined) return { over: "websocket", protocol };
    throw new GantryError("usage", `none of the subprotocols '${offered.join(", ")}' is spoken here`, {
      hint: `Offer ${known.join(" or ")}.`,
    });
  }
  if (upgrade === "spdy/3.1" && (request.method === "POST" || request.method === "GET")) {
    const offered = listOf(request.headers[OFFERED]);
    const protocol = SPDY_PROTOCOLS[verb];
    if (offered.includes(protocol)) return { over: "spdy", protocol };
    throw new GantryError("usage", `none of the protocols '${offered.join(", ")}' is spoken here over SPDY`, {
      hint: `Send the header X-Stream-Protocol-Version: ${protocol}.`,
    });
  }
  throw new GantryError("usage", `can't upgrade a ${request.method ?? ""} to '${request.headers.upgrade ?? ""}'`, {
    hint: "Use a client that speaks WebSocket (GET) or SPDY/3.1, as every kubectl does.",
  });
}

/** The first of ours that the client knows, not the first of the client's. */
function webSocketProtocols(verb: Verb): readonly string[] {
  return verb === "portforward" ? FORWARD_PROTOCOLS : PROTOCOLS;
}

function listOf(header: string | readonly string[] | undefined): string[] {
  const text = typeof header === "string" ? header : (header ?? []).join(",");
  return text.split(",").map((each) => each.trim());
}

/** @throws GantryError not-found for any path that has no sessions */
function target(url: string): { readonly namespace: string; readonly name: string; readonly verb: Verb } {
  const path = url.split("?", 1)[0] ?? "";
  const [, namespace, name, verb] = SESSION_PATH.exec(path) ?? [];
  if (namespace === undefined || name === undefined || verb === undefined) {
    throw new GantryError("not-found", `there is no session at ${path}`, {
      hint: "Only …/pods/{name}/exec, …/attach and …/portforward have them.",
    });
  }
  try {
    return { namespace: decodeURIComponent(namespace), name: decodeURIComponent(name), verb: verb as Verb };
  } catch (cause) {
    throw new GantryError("usage", `${path} is not a valid path`, { cause });
  }
}

/** Each has two channels, and 255 is the one that ends others. */
const MOST_PORTS = 127;

function readPorts(query: Query): number[] {
  const texts = query.all("ports").flatMap((each) => each.split(","));
  if (texts.length > MOST_PORTS) throw new GantryError("usage", `more than ${MOST_PORTS} ports are given at once`);
  return texts.map((text) => readPort(text));
}

/** @throws GantryError usage */
export function readPort(text: string): number {
  const port = /^\d{1,5}$/.test(text) ? Number(text) : 0;
  if (port >= 1 && port <= 65_535) return port;
  throw new GantryError("usage", `port: '${text.slice(0, 100)}' is not a number from 1 to 65535`);
}
