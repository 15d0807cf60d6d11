import { PassThrough, type Readable } from "node:stream";
import type { FastifyInstance } from "fastify";
import { GantryError } from "../../system/errors.ts";
import type { ApiBackend } from "../contract.ts";
import { checkContentType, readBody } from "./body.ts";
import { refuseDryRun, success } from "./pods.ts";
import { type Call, route } from "./routing.ts";

const GANTRY = "/apis/gantry.dev/v1";
const apiVersion = "gantry.dev/v1";

const MANIFEST_TYPES = [
  "application/yaml",
  "application/x-yaml",
  "text/yaml",
  "text/x-yaml",
  "application/json",
  "text/plain",
];
const ARCHIVE_TYPES = [
  "application/x-tar",
  "application/octet-stream",
  "application/gzip",
  "application/x-gzip",
  "application/zstd",
];

/** What Kubernetes has no words for: problems, plan, apply, images, the daemon itself. */
export function serveGantry(app: FastifyInstance, backend: ApiBackend): void {
  route(app, `${GANTRY}/problems`, { GET: () => ({ apiVersion, kind: "ProblemReport", ...backend.problems() }) });
  route(app, `${GANTRY}/plan`, { GET: () => ({ apiVersion, kind: "Plan", steps: backend.plan() }) });
  route(app, `${GANTRY}/daemon`, { GET: () => ({ apiVersion, kind: "Daemon", ...backend.info() }) });
  route(app, `${GANTRY}/apply`, {
    POST: async ({ query, request }) => {
      refuseDryRun(query.all("dryRun"));
      const text = await readBody(request.raw, request.headers["content-type"], { contentTypes: MANIFEST_TYPES });
      if (text.trim() === "") throw new GantryError("usage", "the body is empty", { hint: "Send a manifest." });
      return {
        apiVersion,
        kind: "ApplyResultList",
        items: await backend.apply(text, fileName(query.text("fileName"))),
      };
    },
  });
  route(app, `${GANTRY}/images`, {
    GET: async () => ({ apiVersion, kind: "ImageList", items: await backend.images() }),
    POST: importImage(backend),
  });
  route(app, `${GANTRY}/images/:image`, {
    DELETE: async (call) => {
      const name = call.param("image");
      await backend.removeImage(name);
      return success({ name, kind: "images" });
    },
  });
}

/** The name of a file in the manifest folder, never a way out of it. */
function fileName(name: string | undefined): string | undefined {
  if (name === undefined || (/^[^/\0]{1,255}$/.test(name) && name !== "." && name !== "..")) return name;
  throw new GantryError("usage", `fileName: '${name.slice(0, 100)}' is not the name of a file`, {
    hint: "Give a name without slashes, like web.yaml.",
  });
}

function importImage(backend: ApiBackend): (call: Call) => Promise<unknown> {
  return async ({ query, request, reply }) => {
    const name = query.text("name");
    if (name === undefined) throw new GantryError("usage", "the image has no name", { hint: "Add ?name=NAME." });
    checkContentType(request.headers["content-type"], ARCHIVE_TYPES);
    const gone = new AbortController();
    const onClose = (): void => {
      if (!reply.raw.writableFinished) gone.abort();
    };
    reply.raw.on("close", onClose);
    try {
      return await backend.importImage(shielded(request.raw), name, gone.signal, query.text("source"));
    } finally {
      reply.raw.off("close", onClose);
    }
  };
}

/**
 * The body as a stream that may be destroyed: the request's own would take the connection with it, and the client would
 * never learn why its image was refused. What is left of the body is then read and dropped.
 */
function shielded(body: Readable): Readable {
  const shield = new PassThrough();
  body.pipe(shield);
  body.once("error", (error) => shield.destroy(error));
  body.once("close", () => {
    if (!body.readableEnded) shield.destroy(new GantryError("cancelled", "the client went away", { kind: "system" }));
  });
  shield.once("close", () => {
    body.unpipe(shield);
    body.resume();
  });
  return shield;
}
