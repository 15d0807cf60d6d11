import type { FastifyInstance } from "fastify";
import { readLog } from "../../logs/index.ts";
import { GantryError } from "../../system/errors.ts";
import type { ApiBackend, PodObject } from "../contract.ts";
import { success } from "./remove.ts";
import { find, type Resource } from "./resources.ts";
import { type Call, route } from "./routing.ts";
import type { Streams } from "./streaming.ts";

const POD = "/api/v1/namespaces/:namespace/pods/:name";

/** What can be done with one pod: log, exec and attach (their WebSocket: exec-upgrade.ts), restart. */
export function servePods(
  app: FastifyInstance,
  backend: ApiBackend,
  pods: Resource<PodObject>,
  streams: Streams,
): void {
  const named = (call: Call): PodObject => find(pods, call.param("namespace"), call.param("name"));
  route(app, `${POD}/log`, {
    GET: (call) => {
      named(call);
      sendLog(call, backend, streams);
    },
  });
  const refuseExec = (call: Call): never => {
    named(call);
    throw new GantryError("usage", "exec and attach need a WebSocket: the request must upgrade its connection", {
      hint: "Use a client that speaks v5.channel.k8s.io or v4.channel.k8s.io (kubectl 1.31 or later does), not SPDY.",
    });
  };
  for (const verb of ["exec", "attach"]) route(app, `${POD}/${verb}`, { GET: refuseExec, POST: refuseExec });
  route(app, "/apis/gantry.dev/v1/namespaces/:namespace/pods/:name/restart", {
    POST: (call) => {
      const { namespace, name } = named(call).metadata;
      backend.restartPod(namespace, name, call.query.text("container"));
      return success({ name, kind: "pods" });
    },
  });
}

function sendLog(call: Call, backend: ApiBackend, streams: Streams): void {
  const { query } = call;
  const target = backend.logFile(
    call.param("namespace"),
    call.param("name"),
    query.text("container"),
    query.flag("previous"),
  );
  const sinceSeconds = query.integer("sinceSeconds", 1);
  const sinceTime = query.time("sinceTime");
  if (sinceSeconds !== undefined && sinceTime !== undefined) {
    throw new GantryError("usage", "sinceSeconds and sinceTime are both given", { hint: "Give one of them." });
  }
  const tail = query.integer("tailLines");
  const limitBytes = query.integer("limitBytes", 1);
  const since = sinceSeconds === undefined ? sinceTime : Date.now() - sinceSeconds * 1000;
  const options = {
    path: target.path,
    running: () => target.running(),
    follow: query.flag("follow"),
    timestamps: query.flag("timestamps"),
    ...(tail !== undefined && { tail }),
    ...(since !== undefined && { sinceMs: since }),
  };
  streams.send(call, "text/plain; charset=utf-8", (signal) => {
    const lines = readLog({ ...options, signal });
    return limitBytes === undefined ? lines : atMost(lines, limitBytes);
  });
}

async function* atMost(source: AsyncIterable<Buffer>, bytes: number): AsyncGenerator<Buffer, void, undefined> {
  let left = bytes;
  for await (const chunk of source) {
    yield chunk.subarray(0, left);
    left -= chunk.length;
    if (left <= 0) return;
  }
}

/** What would be done is shown by `gantry plan`; doing it though only a trial was asked for would be the worst answer. */
export function refuseDryRun(dryRun: readonly unknown[]): void {
  if (dryRun.length === 0) return;
  throw new GantryError("unsupported", "dryRun is not supported", { hint: "Use 'gantry validate' and 'gantry plan'." });
}
