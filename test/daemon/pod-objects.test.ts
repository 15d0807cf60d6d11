import { afterEach, beforeEach, expect, test } from "vitest";
import { createPodObjects, type PodObjects } from "../../src/daemon/pod-objects.ts";
import type { DesiredPod } from "../../src/pod/index.ts";
import { desiredPod, Harness, UID } from "../pod/harness.ts";

/** What clients are told of a pod while it is changed, so that they never take the old one for the new one. */
const NODE = { name: "n", ip: "192.0.2.1", cpus: 1, memoryBytes: 1 };
const app = (fields: object = {}) => ({ name: "app", image: "app", ...fields });

let h: Harness;
let objects: PodObjects;
let wanted: DesiredPod | undefined;
beforeEach(async () => {
  h = new Harness();
  wanted = desiredPod({ containers: [app()] });
  const { supervisor, clock } = h;
  const nothing = { notes: () => [], owners: () => ({}) };
  objects = createPodObjects({ supervisor, clock, node: NODE, ...nothing, wanted: () => wanted });
  await h.ensure(wanted);
});
afterEach(() => h.close());

/** generation, observedGeneration, what the app's arguments are to be, and whether it is ready */
function shown(): unknown[] {
  const [pod] = objects.list();
  const ready = pod?.status.conditions.find(({ type }) => type === "Ready")?.status;
  return [pod?.metadata.generation, pod?.status.observedGeneration, pod?.spec.containers[0]?.args, ready];
}

function want(desired: DesiredPod | undefined): void {
  wanted = desired;
  objects.wantedChanged(new Set([`${desired?.key ?? h.pod(UID).desired.key}`]));
}

test("what was written is shown at once, and counts as observed once it runs", async () => {
  expect(shown()).toEqual([1, 1, undefined, "True"]);
  const next = desiredPod({ containers: [app({ args: ["x"] })] });
  want(next);
  expect(shown()).toEqual([2, 1, ["x"], "True"]);
  await h.ensure(next);
  expect(shown()).toEqual([2, 2, ["x"], "True"]);
});

test("while the new image is not to be had, what runs is the old generation", async () => {
  const next = desiredPod({ containers: [app({ image: "app:2" })] });
  want(next);
  await h.ensure(next);
  expect(shown()).toEqual([2, 1, undefined, "True"]);
  h.images.set("app:2", {});
  h.supervisor.imagesChanged();
  await h.settle();
  expect(shown()).toEqual([2, 2, undefined, "True"]);
});

test("a pod that must be made anew is the old generation until it is gone", async () => {
  want(desiredPod({ containers: [app()], hostname: "other" }));
  h.supervisor.remove(UID);
  expect(shown().slice(0, 2)).toEqual([2, 1]);
  expect(objects.list()[0]?.metadata.deletionTimestamp).toBeDefined();
  await h.gone();
  expect(objects.list()).toEqual([]);
});

test("labels are no new generation; nor is a restart that somebody asks for", async () => {
  const labelled = desiredPod({ containers: [app()] }, { labels: { a: "b" } });
  want(labelled);
  await h.ensure(labelled);
  expect(shown()).toEqual([1, 1, undefined, "True"]);
  h.supervisor.restart(UID);
  await h.settle();
  expect(shown()).toEqual([1, 1, undefined, "True"]);
});

test("what can't be accepted as it is written changes nothing that is shown", () => {
  want(undefined);
  expect(shown()).toEqual([1, 1, undefined, "True"]);
});
