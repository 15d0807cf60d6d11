import { expect, test } from "vitest";
import { rulesOf } from "../../src/api/server/reviews.ts";

const SERVED = [
  { group: "", plural: "pods" },
  { group: "", plural: "secrets" },
  { group: "apps", plural: "deployments" },
];

test("who may only look is not told of Secrets, and may ask what it may do", () => {
  expect(rulesOf("view", SERVED)).toEqual([
    { verbs: ["get", "list", "watch"], apiGroups: [""], resources: ["pods"] },
    { verbs: ["get", "list", "watch"], apiGroups: ["apps"], resources: ["deployments"] },
    {
      ...{ verbs: ["create"], apiGroups: ["authorization.k8s.io"] },
      resources: ["selfsubjectaccessreviews", "selfsubjectrulesreviews"],
    },
    { verbs: ["create"], apiGroups: ["authentication.k8s.io"], resources: ["selfsubjectreviews"] },
  ]);
});
