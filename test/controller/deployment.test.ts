import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { rollingStep, roomOf, type SetNumbers } from "../../src/controller/rolling.ts";
import { Lab, template } from "./lab.ts";

function deployment(fields: string, command = "true"): string {
  return `apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  ${fields}
  ${template(command)}
`;
}

describe("Deployment", () => {
  test("makes a ReplicaSet and pods named as in Kubernetes, and reports them", () => {
    const lab = new Lab();
    lab.write(deployment("replicas: 3"));
    expect(lab.names).toHaveLength(3);
    const [set = ""] = lab.kept("ReplicaSet");
    expect(set).toMatch(/^web-[bcdfghjklmnpqrstvwxz2456789]{6,10}$/);
    for (const name of lab.names) expect(name).toMatch(new RegExp(`^${set}-[bcdfghjklmnpqrstvwxz2456789]{5}$`));
    const { labels, ownerReferences } = lab.pod(lab.names[0] ?? "").desired.pod.metadata;
    expect(labels).toEqual({ app: "web", "pod-template-hash": set.slice("web-".length) });
    expect(ownerReferences).toMatchObject([{ kind: "ReplicaSet", name: set, controller: true }]);
    lab.settle();
    expect(lab.status("Deployment", "web")).toMatchObject({
      replicas: 3,
      readyReplicas: 3,
      updatedReplicas: 3,
      availableReplicas: 3,
    });
    expect(lab.conditions("Deployment", "web")).toEqual([
      "Available=True MinimumReplicasAvailable",
      "Progressing=True NewReplicaSetAvailable",
    ]);
  });

  test("a restart of the daemon changes no name; taking the manifest away ends everything", () => {
    const lab = new Lab();
    lab.write(deployment("replicas: 2"));
    lab.settle();
    const names = lab.names;
    lab.restart();
    lab.write(deployment("replicas: 2"));
    expect(lab.names).toEqual(names);
    lab.load([], ["Deployment default/web"]);
    expect(lab.names).toEqual(names);
    lab.load([]);
    expect(lab.names).toEqual([]);
    expect(lab.kept("ReplicaSet")).toEqual([]);
  });

  test("a new template rolls, with enough pods available all the time", () => {
    const lab = new Lab();
    lab.write(deployment("replicas: 4"));
    lab.settle();
    const old = new Set(lab.names);
    lab.write(deployment("replicas: 4", "sleep"));
    // 25 % of 4: one more, one less.
    expect(lab.names.length).toBeLessThanOrEqual(5);
    expect(lab.names.filter((name) => old.has(name)).length).toBe(3);
    lab.settle();
    expect(lab.names).toHaveLength(4);
    expect(lab.names.some((name) => old.has(name))).toBe(false);
    expect(lab.kept("ReplicaSet")).toHaveLength(2);
  });

  test("one replica stays until the new one is ready, and a version that never is fails its deadline", () => {
    const lab = new Lab();
    lab.write(deployment("progressDeadlineSeconds: 60"));
    lab.settle();
    const [old = ""] = lab.names;
    lab.write(deployment("progressDeadlineSeconds: 60", "bad"));
    lab.set("web-", "unready");
    lab.set(old, "ready");
    lab.advance(61_000);
    expect(lab.names).toContain(old);
    expect(lab.conditions("Deployment", "web")).toContain("Progressing=False ProgressDeadlineExceeded");
    expect(lab.events.map(({ reason }) => reason)).toContain("ProgressDeadlineExceeded");
    // The file goes back to what it was: the old set is the newest revision again, and its pod was never touched.
    lab.write(deployment("progressDeadlineSeconds: 60"));
    expect(lab.names).toEqual([old]);
  });

  test("minReadySeconds: ready is not yet available", () => {
    const lab = new Lab();
    lab.write(deployment("minReadySeconds: 10"));
    lab.settle();
    const [old = ""] = lab.names;
    lab.write(deployment("minReadySeconds: 10", "new"));
    lab.settle();
    expect(lab.names).toContain(old);
    lab.advance(11_000);
    lab.settle();
    lab.advance(11_000);
    expect(lab.names).not.toContain(old);
  });

  test("Recreate: nothing new while anything old is there", () => {
    const lab = new Lab();
    lab.write(deployment("strategy: {type: Recreate}"));
    lab.settle();
    const [old = ""] = lab.names;
    lab.slow = true;
    lab.write(deployment("strategy: {type: Recreate}", "new"));
    expect(lab.names).toEqual([old]);
    lab.gone();
    expect(lab.names).toHaveLength(1);
    expect(lab.names).not.toEqual([old]);
  });

  test("paused: no new version, but the number follows", () => {
    const lab = new Lab();
    lab.write(deployment("replicas: 1"));
    lab.settle();
    lab.write(deployment("replicas: 2\n  paused: true", "new"));
    lab.settle();
    expect(lab.kept("ReplicaSet")).toHaveLength(1);
    expect(lab.names).toHaveLength(2);
    lab.write(deployment("replicas: 2", "new"));
    lab.settle();
    expect(lab.kept("ReplicaSet")).toHaveLength(2);
  });

  test("keeps only as much history as was asked for", () => {
    const lab = new Lab();
    for (const command of ["a", "b", "c", "d"]) {
      lab.write(deployment("revisionHistoryLimit: 1", command));
      lab.settle();
    }
    expect(lab.kept("ReplicaSet")).toHaveLength(2);
  });

  test("a pod that is taken away, or is evicted, is replaced", () => {
    const lab = new Lab();
    lab.write(deployment("replicas: 2"));
    lab.settle();
    const [first = "", second = ""] = lab.names;
    lab.controllers.drop("Pod", `default/${first}`);
    lab.settle();
    expect(lab.names).toHaveLength(2);
    lab.set(second, "failed");
    lab.settle();
    expect(lab.names).toHaveLength(2);
    expect(lab.names).not.toContain(second);
  });

  test("another selector is refused, and what runs goes on", () => {
    const lab = new Lab();
    lab.write(deployment("replicas: 1"));
    const { names } = lab;
    lab.write(deployment("replicas: 1").replaceAll("app: web", "app: other"));
    expect(lab.controllers.problems()).toMatchObject([{ field: "spec.selector", object: "Deployment default/web" }]);
    expect(lab.names).toEqual(names);
  });
});

describe("the numbers of a rolling update", () => {
  test.each([
    [{ maxSurge: "25%", maxUnavailable: "25%" }, 1, { maxSurge: 1, maxUnavailable: 0 }],
    [{ maxSurge: "25%", maxUnavailable: "25%" }, 10, { maxSurge: 3, maxUnavailable: 2 }],
    [{ maxSurge: 0, maxUnavailable: "10%" }, 3, { maxSurge: 0, maxUnavailable: 1 }],
    [{ maxSurge: 2, maxUnavailable: 5 }, 3, { maxSurge: 2, maxUnavailable: 3 }],
  ])("%j of %i", (asked, replicas, room) => {
    expect(roomOf(asked, replicas)).toEqual(room);
  });

  test("never more than the surge, never less than enough, and always an end", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 12 }),
        fc.integer({ min: 0, max: 5 }),
        fc.integer({ min: 0, max: 5 }),
        (wanted, maxSurge, most) => {
          const room = roomOf({ maxSurge, maxUnavailable: most }, wanted);
          let fresh: SetNumbers = { key: "new", replicas: 0, available: 0 };
          let old: SetNumbers = { key: "old", replicas: wanted, available: wanted };
          for (let round = 0; round < 60; round++) {
            const next = rollingStep(wanted, fresh, [old], room);
            const [a, b] = [next.get("new") ?? 0, next.get("old") ?? 0];
            expect(a + b).toBeLessThanOrEqual(wanted + room.maxSurge);
            expect(Math.min(fresh.available, a) + Math.min(old.available, b)).toBeGreaterThanOrEqual(
              wanted - room.maxUnavailable,
            );
            fresh = { key: "new", replicas: a, available: a };
            old = { key: "old", replicas: b, available: b };
          }
          expect([fresh.replicas, old.replicas]).toEqual([wanted, 0]);
        },
      ),
    );
  });
});
