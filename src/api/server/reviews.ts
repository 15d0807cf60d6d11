/** What a client may do: `kubectl auth can-i`, `kubectl auth whoami`. */
import type { FastifyInstance } from "fastify";
import { GantryError } from "../../system/errors.ts";
import { identityOf } from "../access/identity.ts";
import { GROUP_OF_ROLE, mayDo } from "../access/roles.ts";
import { at, fieldsOf } from "../patch/plain.ts";
import { readData } from "./body.ts";
import { type Call, route } from "./routing.ts";

const READING = ["get", "list", "watch"];

export function serveReviews(app: FastifyInstance): void {
  const authorization = "/apis/authorization.k8s.io/v1";
  const review = async (call: Call) => {
    const body = await bodyOf(call);
    const asked =
      fieldsOf(at(body, "spec", "resourceAttributes")) ?? fieldsOf(at(body, "spec", "nonResourceAttributes")) ?? {};
    const text = (field: string): string => (typeof asked[field] === "string" ? asked[field] : "");
    const wish = {
      verb: text("verb"),
      group: text("group"),
      resource: text("resource"),
      subresource: text("subresource"),
    };
    const allowed = mayDo(identityOf(call.request.raw).role, wish);
    const reason = allowed ? {} : { reason: "these credentials are for reading only" };
    return created(call, { ...body, status: { allowed, ...reason } });
  };
  route(app, `${authorization}/selfsubjectaccessreviews`, { POST: review });
  route(app, `${authorization}/selfsubjectrulesreviews`, {
    POST: async (call) => {
      const body = await bodyOf(call);
      const isAdmin = identityOf(call.request.raw).role === "admin";
      const verbs = isAdmin ? ["*"] : READING;
      const status = {
        resourceRules: [{ verbs, apiGroups: ["*"], resources: ["*"] }],
        nonResourceRules: [{ verbs, nonResourceURLs: ["*"] }],
        // No rule can say "all but".
        incomplete: !isAdmin,
        ...(!isAdmin && { evaluationError: "but for Secrets, which can't be read, and nothing can be run" }),
      };
      return created(call, { ...body, status });
    },
  });
  route(app, "/apis/authentication.k8s.io/v1/selfsubjectreviews", {
    POST: async (call) => {
      const { name, role } = identityOf(call.request.raw);
      const userInfo = { username: name, groups: [GROUP_OF_ROLE[role], "system:authenticated"] };
      return created(call, { ...(await bodyOf(call)), status: { userInfo } });
    },
  });
}

function created(call: Call, answer: object): object {
  call.reply.code(201);
  return answer;
}

async function bodyOf(call: Call) {
  const fields = fieldsOf(await readData(call.request));
  if (fields !== undefined) return fields;
  throw new GantryError("usage", "the body is not an object", { hint: "Send a SelfSubjectAccessReview." });
}
