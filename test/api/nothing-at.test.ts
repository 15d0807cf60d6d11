import { expect, test } from "vitest";
import { nothingAt } from "../../src/api/server/nothing-at.ts";

test.each([
  [
    "/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers",
    "there are no horizontalpodautoscalers here: the",
  ],
  ["/api/v1/namespaces/default/serviceaccounts/default/token", "there are no serviceaccounts here: pods here talk to"],
  ["/apis/networking.k8s.io/v1/namespaces/default/ingresses", "there are no ingresses here: publish a port"],
  ["/apis/networking.k8s.io/v1/namespaces/default/networkpolicies/x", "there are no networkpolicies here: every pod"],
  ["/apis/batch/v1beta1/namespaces/default/cronjobs/x", "cronjobs are served as batch/v1, and not as batch/v1beta1"],
  ["/api/v1/nodes/n/proxy", "nothing is served at /api/v1/nodes/n/proxy"],
  ["/api/v1/namespaces/default/pods/web/none", "nothing is served at /api/v1/namespaces/default/pods/web/none"],
  ["/favicon.ico", "nothing is served at /favicon.ico"],
])("%s", (path, said) => {
  expect(nothingAt(path)).toMatchObject({ code: "not-found", message: expect.stringContaining(said) });
});
