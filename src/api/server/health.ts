import type { FastifyInstance } from "fastify";
import { GantryError } from "../../system/errors.ts";
import type { ApiBackend, HealthCheck } from "../contract.ts";
import { type Call, route } from "./routing.ts";

/** Which checks count: a daemon that is alive may still not be ready: one whose folder is gone holds everything as it is. */
const PATHS = { "/livez": "live", "/readyz": "ready", "/healthz": "live" } as const;

/** As kube-apiserver has them: "ok", or what is wrong; ?verbose tells of each check, ?exclude=NAME leaves one out. */
export function serveHealth(app: FastifyInstance, backend: ApiBackend): void {
  for (const [path, scope] of Object.entries(PATHS)) {
    const checks = (): HealthCheck[] => [
      { name: "ping", scope: "live", problem: undefined },
      ...backend.health().filter((check) => scope === "ready" || check.scope === "live"),
    ];
    route(app, path, { GET: (call) => answer(call, path, checks()) });
    route(app, `${path}/:check`, {
      GET: (call) => {
        const name = call.param("check");
        const found = checks().filter((check) => check.name === name);
        if (found.length > 0) return answer(call, path, found);
        const names = checks().map((check) => check.name);
        throw new GantryError("not-found", `there is no check '${name}' at ${path}`, {
          hint: `There are: ${names.join(", ")}.`,
        });
      },
    });
  }
}

function answer({ query, reply }: Call, path: string, checks: readonly HealthCheck[]): string {
  const excluded = query.all("exclude");
  const counted = checks.filter(({ name }) => !excluded.includes(name));
  const failed = counted.some(({ problem }) => problem !== undefined);
  reply.type("text/plain; charset=utf-8").header("x-content-type-options", "nosniff");
  if (failed) reply.code(500);
  else if (!query.flag("verbose")) return "ok";
  const lines = checks.map(({ name, problem }) => {
    if (excluded.includes(name)) return `[+]${name} excluded: ok`;
    return problem === undefined ? `[+]${name} ok` : `[-]${name} failed: ${problem}`;
  });
  return `${lines.join("\n")}\n${path.slice(1)} check ${failed ? "failed" : "passed"}\n`;
}
