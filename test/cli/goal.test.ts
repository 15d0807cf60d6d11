import { expect, test } from "vitest";
import type { PodObject } from "../../src/api/contract.ts";
import { isReady, judge } from "../../src/cli/goal.ts";

function pod(
  generation: number,
  observedGeneration: number | undefined,
  phase: "Running" | "Failed" = "Running",
): PodObject {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: "web", namespace: "default", uid: "u", generation },
    spec: { containers: [{ name: "app" }] },
    status: {
      ...(observedGeneration !== undefined && { observedGeneration }),
      phase,
      conditions: [{ type: "Ready", status: phase === "Running" ? "True" : "False" }],
      containerStatuses: [],
      initContainerStatuses: [],
    },
  } as unknown as PodObject; // what is judged of it
}

test("what is about to be replaced is neither ready nor at its end", () => {
  expect(judge(pod(2, 2), "ready", 0)).toEqual({ type: "met" });
  expect(judge(pod(2, 1), "ready", 0)).toMatchObject({
    type: "not-yet",
    state: expect.stringMatching(/not in force yet$/),
  });
  expect(judge(pod(2, 1, "Failed"), "succeeded", 0)).toMatchObject({ type: "not-yet" });
  expect(judge(pod(2, 2, "Failed"), "ready", 0)).toMatchObject({ type: "never" });
  expect(judge(pod(2, 1), "deleted", 0)).toMatchObject({ type: "not-yet" });
});

test("a daemon that tells no generations is believed", () => {
  expect(isReady(pod(0, undefined))).toBe(true);
});
