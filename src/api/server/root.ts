import type { FastifyInstance } from "fastify";
import { route } from "./routing.ts";

/** A place of discovery, or no object's at all; with parameters or deeper it is a collection. */
const PLACE = /^\/(api(\/[^/:]+)?|apis(\/[^/:]+){0,2}|(?!api)[^:]*)$/;

/** GET / as kube-apiserver has it: which paths there are. To be called before any other path is served. */
export function serveRoot(app: FastifyInstance): void {
  const paths = new Set<string>();
  app.addHook("onRoute", ({ url }) => {
    if (url !== "/" && PLACE.test(url)) paths.add(url);
  });
  route(app, "/", { GET: () => ({ paths: [...paths].sort() }) });
}
