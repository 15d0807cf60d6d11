import { expect, test } from "vitest";
import { inVersion } from "../../src/api/versions.ts";

const head = { kind: "HorizontalPodAutoscaler", metadata: { name: "web" } };
const cpu = { type: "Resource", resource: { name: "cpu", target: { type: "Utilization", averageUtilization: 80 } } };
const memory = {
  type: "Resource",
  resource: { name: "memory", target: { type: "AverageValue", averageValue: "1Gi" } },
};
const first = { ...head, apiVersion: "autoscaling/v1", spec: { maxReplicas: 3, targetCPUUtilizationPercentage: 80 } };
const second = { ...head, apiVersion: "autoscaling/v2", spec: { maxReplicas: 3, metrics: [cpu] } };

test("the percentage of autoscaling/v1 is a metric in v2, and the other way round", () => {
  expect(inVersion<object & Record<string, unknown>>(first, "autoscaling/v2")).toEqual(second);
  expect(inVersion<object & Record<string, unknown>>(second, "autoscaling/v1")).toEqual(first);
  expect(inVersion(first, "autoscaling/v1")).toBe(first);
});

test.each([
  ["another metric only", [memory], { maxReplicas: 3 }],
  ["what is no metric", ["cpu", null, { resource: 1 }], { maxReplicas: 3 }],
  ["no list", "cpu", { maxReplicas: 3 }],
])("%s is left out in v1", (_what, metrics, spec) => {
  const object: Record<string, unknown> = { ...second, spec: { maxReplicas: 3, metrics } };
  expect(inVersion(object, "autoscaling/v1")["spec"]).toEqual(spec);
});

test("another kind, or one without a spec, only gets the other name", () => {
  const budget = { apiVersion: "policy/v1", kind: "PodDisruptionBudget", spec: { minAvailable: 1 } };
  expect(inVersion(budget, "policy/v1beta1")).toEqual({ ...budget, apiVersion: "policy/v1beta1" });
  expect(inVersion({ ...head, apiVersion: "autoscaling/v1", spec: 3 }, "autoscaling/v2").spec).toBe(3);
});
