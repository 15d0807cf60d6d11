/** What a client may do: `kubectl auth can-i`, `kubectl auth whoami`. */
import type { FastifyInstance } from "fastify";
import { GantryError } from "../../system/errors.ts";
import { at, fieldsOf } from "../patch/plain.ts";
import { readBody } from "./body.ts";
import { type Call, route } from "./routing.ts";

/** Who asks, and whether it may change anything. */
export interface Client {
  readonly name: string;
  readonly readOnly: boolean;
}

const READING: ReadonlySet<string> = new Set(["get", "list", "watch"]);

/** @param clientOf who has sent a request; whoever can open the socket is root */
export function serveReviews(app: FastifyInstance, clientOf: (call: Call) => Client): void {
  const authorization = "/apis/authorization.k8s.io/v1";
  const review = async (call: Call) => {
    const body = await bodyOf(call);
    const { readOnly } = clientOf(call);
    const verb = String(
      at(body, "spec", "resourceAttributes", "verb") ?? at(body, "spec", "nonResourceAttributes", "verb") ?? "",
    );
    const allowed = !readOnly || READING.has(verb);
    const reason = allowed ? "" : "these credentials are for reading only";
    return created(call, { ...body, status: { allowed, ...(reason !== "" && { reason }) } });
  };
  route(app, `${authorization}/selfsubjectaccessreviews`, { POST: review });
  route(app, `${authorization}/selfsubjectrulesreviews`, {
    POST: async (call) => {
      const body = await bodyOf(call);
      const verbs = clientOf(call).readOnly ? [...READING] : ["*"];
      const status = {
        resourceRules: [{ verbs, apiGroups: ["*"], resources: ["*"] }],
        nonResourceRules: [{ verbs, nonResourceURLs: ["*"] }],
        incomplete: false,
      };
      return created(call, { ...body, status });
    },
  });
  route(app, "/apis/authentication.k8s.io/v1/selfsubjectreviews", {
    POST: async (call) => {
      const { name } = clientOf(call);
      const userInfo = { username: name, groups: ["system:authenticated"] };
      return created(call, { ...(await bodyOf(call)), status: { userInfo } });
    },
  });
}

function created(call: Call, answer: object): object {
  call.reply.code(201);
  return answer;
}

async function bodyOf(call: Call) {
  const text = await readBody(call.request.raw, call.request.headers["content-type"], {
    contentTypes: ["application/json"],
  });
  try {
    const fields = fieldsOf(JSON.parse(text));
    if (fields !== undefined) return fields;
  } catch {
    // Said below.
  }
  throw new GantryError("usage", "the body is not a JSON object", { hint: "Send a SelfSubjectAccessReview." });
}
