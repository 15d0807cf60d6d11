/** /openapi/v3 and /openapi/v2. Documents are made when they are asked for: nothing is kept of them. */
import { createHash } from "node:crypto";
import type { FastifyInstance } from "fastify";
import { VERSION } from "../../system/version.ts";
import { type DescribedKind, documentV2, documentV3, jsonOfV2 } from "../openapi/documents.ts";
import { protobufOfV2 } from "../openapi/protobuf.ts";
import { httpError } from "../status-error.ts";
import type { ResourceDescription } from "./discovery.ts";
import { type Call, route } from "./routing.ts";

const ANY_TYPE = { anyType: true } as const;
const PROTOBUF = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";

export function serveOpenApi(app: FastifyInstance, resources: readonly ResourceDescription[]): void {
  const kinds = resources.map(
    ({ group = "", version = "v1", plural, kind, namespaced, access }): DescribedKind => ({
      ...{ group, version, plural, kind, namespaced },
      // Of what is refused, too: only so does a client ask, and hear why.
      writable: access !== "list",
    }),
  );
  const groups = Map.groupBy(kinds, ({ group, version }) =>
    group === "" ? `api/${version}` : `apis/${group}/${version}`,
  );
  // Clients keep what they get by its hash: it changes with what this version knows.
  const hash = createHash("sha256")
    .update(`${VERSION} ${JSON.stringify(kinds)}`)
    .digest("hex")
    .toUpperCase()
    .slice(0, 32);
  const paths = [...groups.keys()].map(
    (name) => [name, { serverRelativeURL: `/openapi/v3/${name}?hash=${hash}` }] as const,
  );
  route(app, "/openapi/v3", { GET: () => ({ paths: Object.fromEntries(paths) }) }, ANY_TYPE);
  for (const [name, inside] of groups)
    route(app, `/openapi/v3/${name}`, { GET: (call) => sendV3(call, inside) }, ANY_TYPE);
  route(app, "/openapi/v2", { GET: (call) => sendV2(call, kinds) }, ANY_TYPE);
}

async function sendV3(call: Call, kinds: readonly DescribedKind[]): Promise<object> {
  const accept = call.request.headers.accept ?? "*/*";
  if (!/json|\*\/\*/.test(accept))
    throw httpError("NotAcceptable", `can't answer with '${accept}'`, "Ask for application/json.");
  return documentV3(kinds, VERSION, await descriptions());
}

async function sendV2(call: Call, kinds: readonly DescribedKind[]): Promise<unknown> {
  const document = documentV2(kinds, VERSION, await descriptions());
  if (call.request.headers.accept?.includes("proto-openapi.spec.v2") !== true) return jsonOfV2(document);
  call.reply.type(PROTOBUF);
  return protobufOfV2(document);
}

/** Loaded when somebody asks for the first time: most daemons are never asked. */
async function descriptions() {
  return (await import("../openapi/descriptions.ts")).DESCRIPTIONS;
}
