import { expect, test } from "vitest";
import { nothingAt } from "../../src/api/server/nothing-at.ts";

test.each([
  [
    "/apis/autoscaling/v2beta2/namespaces/default/horizontalpodautoscalers",
    "are served as autoscaling/v2 and autoscaling/v1, and not as autoscaling/v2beta2",
  ],
  ["/api/v1/namespaces/default/serviceaccounts/default/token", "ServiceAccount has no effect: pods here talk to no"],
  ["/apis/storage.k8s.io/v1/csidrivers", "there are no csidrivers here: volumes of storage systems"],
  ["/apis/batch/v1beta1/namespaces/default/cronjobs/x", "cronjobs are served as batch/v1, and not as batch/v1beta1"],
  ["/api/v1/nodes/n/proxy", "nothing is served at /api/v1/nodes/n/proxy"],
  ["/api/v1/namespaces/default/pods/web/none", "nothing is served at /api/v1/namespaces/default/pods/web/none"],
  ["/favicon.ico", "nothing is served at /favicon.ico"],
])("%s", (path, said) => {
  expect(nothingAt(path)).toMatchObject({ code: "not-found", message: expect.stringContaining(said) });
});
