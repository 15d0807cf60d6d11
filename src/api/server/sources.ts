/** Git sources, over the API. */
import type { FastifyInstance } from "fastify";
import type { ApiBackend } from "../contract.ts";
import { route } from "./routing.ts";

const SOURCES = "/apis/gantry.dev/v1/sources";
const apiVersion = "gantry.dev/v1";

export function serveSources(app: FastifyInstance, backend: ApiBackend): void {
  route(app, SOURCES, {
    GET: () => ({ apiVersion, kind: "SourceList", items: backend.gitSources() }),
    POST: async () => {
      await backend.reloadGitSources();
      return { apiVersion, kind: "SourceList", items: backend.gitSources() };
    },
  });
  route(app, `${SOURCES}/:name`, {
    GET: (call) => ({ apiVersion, kind: "Source", ...backend.gitSource(call.param("name")) }),
  });
  route(app, `${SOURCES}/:name/diff`, {
    GET: async (call) => ({ apiVersion, kind: "SourceDiff", ...(await backend.diffGitSource(call.param("name"))) }),
  });
  route(app, `${SOURCES}/:name/now`, {
    POST: async (call) => {
      const wish = { insist: call.query.flag("retry"), allowEmpty: call.query.flag("allowEmpty") };
      return { apiVersion, kind: "SyncResult", ...(await backend.syncGitSource(call.param("name"), wish)) };
    },
  });
  for (const verb of ["suspend", "resume"]) {
    route(app, `${SOURCES}/:name/${verb}`, {
      POST: (call) => ({
        apiVersion,
        kind: "Source",
        ...backend.suspendGitSource(call.param("name"), verb === "suspend"),
      }),
    });
  }
  route(app, `${SOURCES}/:name/rollback`, {
    POST: async (call) => {
      const revision = await backend.rollbackGitSource(call.param("name"), call.query.text("revision"));
      return { apiVersion, kind: "RollbackResult", revision };
    },
  });
}
