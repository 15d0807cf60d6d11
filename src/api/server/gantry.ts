import { PassThrough, type Readable } from "node:stream";
import type { FastifyInstance } from "fastify";
import { z } from "zod";
import type { Credential } from "../../image/contract.ts";
import { normalizeName } from "../../image/name.ts";
import { GantryError } from "../../system/errors.ts";
import type { ApiBackend } from "../contract.ts";
import { checkContentType, parseJson, readBody } from "./body.ts";
import { jsonLines } from "./json-lines.ts";
import { success } from "./remove.ts";
import { type Call, route } from "./routing.ts";
import { serveSources } from "./sources.ts";
import type { Streams } from "./streaming.ts";

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
export function serveGantry(app: FastifyInstance, backend: ApiBackend, streams: Streams): void {
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
  route(app, `${GANTRY}/namespaces/:namespace/:kind/:name/edit`, {
    POST: async (call) => {
      const { changes } = parsed(editRequest, await bodyText(call));
      const file = await backend.editObject(call.param("kind"), call.param("namespace"), call.param("name"), changes);
      return { apiVersion, kind: "EditResult", file };
    },
  });
  route(app, `${GANTRY}/namespaces/:namespace/:kind/:name/undo`, {
    POST: async (call) => {
      const revision = call.query.integer("revision", 0);
      const [kind, namespace, name] = [call.param("kind"), call.param("namespace"), call.param("name")];
      return { apiVersion, kind: "UndoResult", ...(await backend.undoRollout(kind, namespace, name, revision)) };
    },
  });
  route(app, `${GANTRY}/images`, {
    GET: async () => ({ apiVersion, kind: "ImageList", items: await backend.images() }),
    POST: importImage(backend),
  });
  route(app, `${GANTRY}/volumes`, {
    GET: async () => ({ apiVersion, kind: "VolumeList", items: await backend.volumes() }),
  });
  route(app, `${GANTRY}/namespaces/:namespace/volumes/:name`, {
    DELETE: async (call) => {
      const [namespace, name] = [call.param("namespace"), call.param("name")];
      await backend.removeVolume(namespace, name);
      return success({ name, kind: "volumes" });
    },
  });
  route(app, `${GANTRY}/garbage`, {
    POST: async ({ query }) => ({
      apiVersion,
      kind: "GarbageReport",
      ...(await backend.collectGarbage(query.flag("dryRun"))),
    }),
  });
  route(app, `${GANTRY}/images/:image`, {
    DELETE: async (call) => {
      const name = call.param("image");
      await backend.removeImage(name);
      return success({ name, kind: "images" });
    },
  });
  serveSources(app, backend);
  route(app, `${GANTRY}/imagepulls`, {
    POST: async (call) => {
      const name = requireName(call);
      const text = await readBody(call.request.raw, call.request.headers["content-type"], {
        contentTypes: ["application/json"],
      });
      const { credentials } = readPullRequest(text);
      normalizeName(name); // its errors are no lines
      streams.send(call, JSON_LINES, (signal) => jsonLines(backend.pullImage(name, credentials, signal)));
    },
  });
  route(app, `${GANTRY}/imagechecks`, {
    POST: (call) => {
      const { query } = call;
      const names = query.all("name");
      const repair = query.flag("repair");
      streams.send(call, JSON_LINES, (signal) => jsonLines(backend.verifyImages(names, repair, signal)));
    },
  });
  route(app, `${GANTRY}/imagearchive`, {
    GET: async (call) => {
      const names = call.query.all("name");
      if (names.length === 0) throw new GantryError("usage", "no image is named", { hint: "Add ?name=NAME." });
      const archive = await backend.exportImages(names);
      streams.send(call, "application/x-tar", archive);
    },
  });
}

const editRequest = z.strictObject({
  changes: z
    .array(z.strictObject({ path: z.array(z.union([z.string(), z.number()])).min(1), value: z.unknown() }))
    .min(1),
});

async function bodyText({ request }: Call): Promise<string> {
  return readBody(request.raw, request.headers["content-type"], { contentTypes: ["application/json"] });
}

function parsed<T extends z.ZodType>(schema: T, text: string): z.output<T> {
  const hint = 'Send {"changes":[{"path":["spec","replicas"],"value":3}]}.';
  const result = schema.safeParse(parseJson(text, hint));
  if (!result.success) throw new GantryError("usage", "the body is not what is expected here", { hint });
  return result.data;
}

const JSON_LINES = "application/json";

const pullRequest = z.strictObject({
  credentials: z
    .array(
      z.strictObject({
        username: z.string().optional(),
        password: z.string().optional(),
        identityToken: z.string().optional(),
        from: z.string().default("the request"),
      }),
    )
    .default([]),
});

/** An empty body asks for nothing special. */
function readPullRequest(text: string): { readonly credentials: readonly Credential[] } {
  const hint = 'Send nothing, or {"credentials":[{"username":"…","password":"…"}]}.';
  const result = pullRequest.safeParse(text.trim() === "" ? {} : parseJson(text, hint));
  if (!result.success) throw new GantryError("usage", "the body is no pull request", { hint });
  return {
    credentials: result.data.credentials.map(({ from, username, password, identityToken }) => ({
      from,
      ...(username === undefined ? {} : { username }),
      ...(password === undefined ? {} : { password }),
      ...(identityToken === undefined ? {} : { identityToken }),
    })),
  };
}

function requireName({ query }: Call): string {
  const name = query.text("name");
  if (name === undefined) throw new GantryError("usage", "the image has no name", { hint: "Add ?name=NAME." });
  return name;
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
    checkContentType(request.headers["content-type"], ARCHIVE_TYPES);
    const gone = new AbortController();
    const onClose = (): void => {
      if (!reply.raw.writableFinished) gone.abort();
    };
    reply.raw.on("close", onClose);
    try {
      const body = shielded(request.raw);
      const shownAs = query.text("source");
      if (name !== undefined) return await backend.importImage(body, name, gone.signal, shownAs);
      return { apiVersion, kind: "ImageList", items: await backend.importImages(body, gone.signal, shownAs) };
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

/** What would be done is shown by `gantry plan`; doing it though only a trial was asked for would be the worst answer. */
function refuseDryRun(dryRun: readonly unknown[]): void {
  if (dryRun.length === 0) return;
  throw new GantryError("unsupported", "dryRun is not supported", { hint: "Use 'gantry validate' and 'gantry plan'." });
}
