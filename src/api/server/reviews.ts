/** What a client may do: `kubectl auth can-i`, `kubectl auth whoami`. */
import type { FastifyInstance } from "fastify";
import { GantryError } from "../../system/errors.ts";
import { identityOf } from "../access/identity.ts";
import { GROUP_OF_ROLE, mayDo, type Role } from "../access/roles.ts";
import { at, fieldsOf } from "../patch/plain.ts";
import { readData } from "./body.ts";
import { REVIEWS } from "./discovery.ts";
import { type Call, route } from "./routing.ts";

/** What is asked for in a group: "apps", "deployments". */
export interface Reviewed {
  readonly group: string;
  readonly plural: string;
}

/** @param resources all that are served */
export function serveReviews(app: FastifyInstance, resources: readonly Reviewed[]): void {
  const readingRules = rulesOf("view", resources);
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
      const status = {
        resourceRules: isAdmin ? [{ verbs: ["*"], apiGroups: ["*"], resources: ["*"] }] : readingRules,
        nonResourceRules: [{ verbs: isAdmin ? ["*"] : ["get"], nonResourceURLs: ["*"] }],
        incomplete: false,
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

const VERBS = ["get", "list", "watch", "create"];

/** What a role may do with each resource, in one rule for all of a group that may be treated alike. */
export function rulesOf(role: Role, resources: readonly Reviewed[]) {
  const asked = REVIEWS.map(([group, plural]) => ({ group, plural }));
  const allowed = [...resources, ...asked].flatMap(({ group, plural }) => {
    const verbs = VERBS.filter((verb) => mayDo(role, { verb, group, resource: plural }));
    return verbs.length === 0 ? [] : [{ group, plural, verbs }];
  });
  const alike = Map.groupBy(allowed, ({ group, verbs }) => `${group} ${verbs.join()}`);
  return [...alike.values()].map((all) => ({
    verbs: all[0]?.verbs ?? [],
    apiGroups: [all[0]?.group ?? ""],
    resources: [...new Set(all.map(({ plural }) => plural))],
  }));
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
