import type { FastifyInstance } from "fastify";
import { readLog } from "../../logs/index.ts";
import { GantryError } from "../../system/errors.ts";
import type { ApiBackend, PodObject } from "../contract.ts";
import { httpError } from "../status-error.ts";
import type { StatusObject } from "../wire.ts";
import { readBody } from "./body.ts";
import type { Query } from "./query.ts";
import { find, type Resource } from "./resources.ts";
import { type Call, route } from "./routing.ts";
import { chooseContainer } from "./session-request.ts";
import type { Streams } from "./streaming.ts";

const POD = "/api/v1/namespaces/:namespace/pods/:name";

/** What can be done with one pod: get, delete, log, restart; sessions in it are in exec-upgrade.ts. */
export function servePods(
  app: FastifyInstance,
  backend: ApiBackend,
  pods: Resource<PodObject>,
  streams: Streams,
): void {
  const named = (call: Call): PodObject => find(pods, call.param("namespace"), call.param("name"));
  route(app, POD, {
    GET: named,
    DELETE: async (call) => {
      // It may be written and yet not run: its manifest can be taken away all the same.
      const [namespace, name] = [call.param("namespace"), call.param("name")];
      const pod = pods.list().find(({ metadata }) => metadata.namespace === namespace && metadata.name === name);
      const options = await deleteOptions(call);
      refuseDryRun(options.dryRun);
      if (options.uid !== undefined && options.uid !== pod?.metadata.uid) {
        throw new GantryError(
          "conflict",
          `the uid of the pod is ${pod?.metadata.uid ?? "unknown"}, not ${options.uid}`,
          {
            hint: "It was made anew in the meantime; look at it again.",
          },
        );
      }
      await backend.deletePod(namespace, name, options.graceMs);
      const left = pods.list().find(({ metadata }) => metadata.uid === pod?.metadata.uid);
      return left ?? success({ name, kind: "pods" });
    },
  });
  route(app, `${POD}/log`, {
    GET: (call) => {
      sendLog(call, named(call), backend, streams);
    },
  });
  for (const verb of ["exec", "attach", "portforward"]) {
    const refuse = (call: Call): never => {
      named(call);
      throw new GantryError("usage", `${verb} is a session: the request must upgrade its connection`, {
        hint: "Use a client that speaks WebSocket or SPDY/3.1, as every kubectl does.",
      });
    };
    route(app, `${POD}/${verb}`, { GET: refuse, POST: refuse });
  }
  // What `kubectl debug` asks for.
  app.route({
    method: ["GET", "PUT", "PATCH"],
    url: `${POD}/ephemeralcontainers`,
    handler: async () => {
      throw httpError(
        "MethodNotAllowed",
        "ephemeral containers are not supported: a pod has those of its manifest",
        "Look inside with 'kubectl exec', or add a container to the manifest.",
      );
    },
  });
  route(app, "/apis/gantry.dev/v1/namespaces/:namespace/pods/:name/restart", {
    POST: (call) => {
      const { namespace, name } = named(call).metadata;
      backend.restartPod(namespace, name, call.query.text("container"));
      return success({ name, kind: "pods" });
    },
  });
}

function sendLog(call: Call, pod: PodObject, backend: ApiBackend, streams: Streams): void {
  const { query } = call;
  const { namespace, name } = pod.metadata;
  const container = chooseContainer(pod, query.text("container"));
  const target = backend.logFile(namespace, name, container, query.flag("previous"));
  const sinceSeconds = query.integer("sinceSeconds", 1);
  const sinceTime = query.time("sinceTime");
  if (sinceSeconds !== undefined && sinceTime !== undefined) {
    throw new GantryError("usage", "sinceSeconds and sinceTime are both given", { hint: "Give one of them." });
  }
  const tail = query.integer("tailLines");
  const stream = streamOf(query);
  if (stream !== undefined && tail !== undefined) {
    throw new GantryError("usage", "tailLines counts the lines of both streams: it can't go with one of them", {
      hint: "Leave out one of stream and tailLines.",
    });
  }
  const limitBytes = query.integer("limitBytes", 1);
  const since = sinceSeconds === undefined ? sinceTime : Date.now() - sinceSeconds * 1000;
  const options = {
    path: target.path,
    running: () => target.running(),
    follow: query.flag("follow"),
    timestamps: query.flag("timestamps"),
    ...(tail !== undefined && { tail }),
    ...(since !== undefined && { sinceMs: since }),
    ...(stream !== undefined && { stream }),
  };
  streams.send(call, "text/plain; charset=utf-8", (signal) => {
    const lines = readLog({ ...options, signal });
    return limitBytes === undefined ? lines : atMost(lines, limitBytes);
  });
}

/** As PodLogOptions has it since Kubernetes 1.32. @returns undefined for both @throws GantryError usage */
function streamOf(query: Query): "stdout" | "stderr" | undefined {
  const asked = query.text("stream");
  switch (asked) {
    case undefined:
    case "All":
      return undefined;
    case "Stdout":
      return "stdout";
    case "Stderr":
      return "stderr";
    default:
      throw new GantryError("usage", `stream: '${asked.slice(0, 100)}' is not known`, {
        hint: "Write stream=All, stream=Stdout or stream=Stderr.",
      });
  }
}

async function* atMost(source: AsyncIterable<Buffer>, bytes: number): AsyncGenerator<Buffer, void, undefined> {
  let left = bytes;
  for await (const chunk of source) {
    yield chunk.subarray(0, left);
    left -= chunk.length;
    if (left <= 0) return;
  }
}

interface DeleteOptions {
  readonly graceMs: number | undefined;
  readonly uid: string | undefined;
  readonly dryRun: readonly unknown[];
}

/** From the query, or from the body (v1 DeleteOptions, which kubectl sends). The query wins. */
async function deleteOptions(call: Call): Promise<DeleteOptions> {
  const { query, request } = call;
  const text = await readBody(request.raw, request.headers["content-type"], { contentTypes: ["application/json"] });
  const body = text.trim() === "" ? {} : parseJsonObject(text);
  const preconditions = "preconditions" in body ? body.preconditions : undefined;
  const uid =
    typeof preconditions === "object" && preconditions !== null && "uid" in preconditions
      ? preconditions.uid
      : undefined;
  const dryRun = "dryRun" in body && Array.isArray(body.dryRun) ? body.dryRun : [];
  return {
    graceMs: query.secondsAsMs("gracePeriodSeconds") ?? graceOf(body),
    uid: typeof uid === "string" ? uid : undefined,
    dryRun: [...query.all("dryRun"), ...dryRun],
  };
}

function graceOf(body: object): number | undefined {
  const seconds = "gracePeriodSeconds" in body ? body.gracePeriodSeconds : undefined;
  if (seconds === undefined || seconds === null) return undefined;
  if (typeof seconds === "number" && seconds >= 0) return seconds * 1000;
  throw new GantryError("usage", `gracePeriodSeconds: ${JSON.stringify(seconds)} is not a number of seconds from 0 up`);
}

function parseJsonObject(text: string): object {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new GantryError("usage", `the body is not JSON: ${cause instanceof Error ? cause.message : ""}`, { cause });
  }
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value;
  throw new GantryError("usage", "the body is not a JSON object", { hint: "Send v1 DeleteOptions, or no body." });
}

/** What would be done is shown by `gantry plan`; doing it though only a trial was asked for would be the worst answer. */
export function refuseDryRun(dryRun: readonly unknown[]): void {
  if (dryRun.length === 0) return;
  throw new GantryError("unsupported", "dryRun is not supported", { hint: "Use 'gantry validate' and 'gantry plan'." });
}

/** A v1 Status that says it worked. */
export function success(details: { readonly name: string; readonly kind: string }): StatusObject {
  return { apiVersion: "v1", kind: "Status", metadata: {}, status: "Success", details };
}
