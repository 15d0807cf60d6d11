import type { FastifyInstance } from "fastify";
import { readLog } from "../../logs/index.ts";
import { GantryError } from "../../system/errors.ts";
import type { ApiBackend, PodObject } from "../contract.ts";
import { httpError } from "../status-error.ts";
import type { Query } from "./query.ts";
import { success } from "./remove.ts";
import { find, type Resource } from "./resources.ts";
import { type Call, route } from "./routing.ts";
import { chooseContainer } from "./session-request.ts";
import type { Streams } from "./streaming.ts";
import { UNSCALABLE } from "./subresources.ts";

const POD = "/api/v1/namespaces/:namespace/pods/:name";

/** What can be done with one pod: log, restart; sessions in it are in exec-upgrade.ts. */
export function servePods(
  app: FastifyInstance,
  backend: ApiBackend,
  pods: Resource<PodObject>,
  streams: Streams,
): void {
  const named = (call: Call): PodObject => find(pods, call.param("namespace"), call.param("name"));
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
  route(app, `${POD}/scale`, {}, { otherwise: UNSCALABLE["Pod"] });
  route(app, `${POD}/eviction`, {
    // What `kubectl drain` asks for. Deleted instead, a pod would be lost with its manifest.
    POST: (call) => {
      named(call);
      throw httpError(
        "MethodNotAllowed",
        "there is no other node that would take it; 'kubectl delete pod' ends it for good",
        "To stop everything before the host goes down, start the daemon with --stop-pods-on-exit.",
      );
    },
  });
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
