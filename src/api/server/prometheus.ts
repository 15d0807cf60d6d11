import type { FastifyInstance } from "fastify";
import { CONTENT_TYPE } from "../../metrics/exposition.ts";
import type { Scrape } from "../../metrics/scrape.ts";
import type { ApiBackend } from "../contract.ts";
import { type Call, route } from "./routing.ts";

/** As the kubelet serves them. */
const PATHS: Readonly<Record<string, Scrape>> = {
  "/metrics": "kubelet",
  "/metrics/cadvisor": "cadvisor",
  "/metrics/resource": "resource",
  "/stats/summary": "summary",
};

/** Also below the node's proxy, where Prometheus looks by its usual configuration for Kubernetes. */
export function servePrometheus(app: FastifyInstance, backend: ApiBackend): void {
  for (const [path, what] of Object.entries(PATHS)) {
    const handler = async ({ reply }: Call): Promise<string> => {
      reply.type(what === "summary" ? "application/json" : CONTENT_TYPE);
      return backend.scrape(what);
    };
    route(app, path, { GET: handler });
    route(app, `/api/v1/nodes/:name/proxy${path}`, { GET: handler });
  }
}
