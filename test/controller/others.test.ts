import { describe, expect, test } from "vitest";
import { parseManifestText } from "../../src/manifest/index.ts";
import { Lab, template } from "./lab.ts";

const HEAD = "metadata: {name: db}\nspec:\n  selector: {matchLabels: {app: web}}";

describe("StatefulSet", () => {
  const set = (fields: string, command = "true"): string =>
    `apiVersion: apps/v1\nkind: StatefulSet\n${HEAD}\n  serviceName: db\n  ${fields}\n  ${template(command)}\n`;

  test("makes its pods one after the other, and takes them away from the end", () => {
    const lab = new Lab();
    lab.write(set("replicas: 3"));
    expect(lab.names).toEqual(["db-0"]);
    lab.set("db-0", "ready");
    expect(lab.names).toEqual(["db-0", "db-1"]);
    lab.settle();
    expect(lab.names).toEqual(["db-0", "db-1", "db-2"]);
    lab.slow = true;
    lab.write(set("replicas: 1"));
    expect(lab.pod("db-2").deletionDeadline).toBeDefined();
    expect(lab.pod("db-1").deletionDeadline).toBeUndefined();
    lab.gone();
    expect(lab.pod("db-1").deletionDeadline).toBeDefined();
  });

  test("Parallel: all at once", () => {
    const lab = new Lab();
    lab.write(set("replicas: 3\n  podManagementPolicy: Parallel"));
    expect(lab.names).toEqual(["db-0", "db-1", "db-2"]);
  });

  test("a new template goes from the last to the partition", () => {
    const lab = new Lab();
    lab.write(set("replicas: 3"));
    lab.settle();
    const [first, last] = [lab.pod("db-0").uid, lab.pod("db-2").uid];
    lab.write(set("replicas: 3\n  updateStrategy: {rollingUpdate: {partition: 1}}", "new"));
    lab.gone();
    expect(lab.pod("db-2").uid).not.toBe(last);
    lab.settle();
    expect(lab.pod("db-0").uid).toBe(first);
    expect(lab.status("StatefulSet", "db")).toMatchObject({ replicas: 3, updatedReplicas: 2 });
    lab.write(set("replicas: 3", "new"));
    lab.settle();
    expect(lab.pod("db-0").uid).not.toBe(first);
    expect(lab.status("StatefulSet", "db")).toMatchObject({ updatedReplicas: 3, currentReplicas: 3 });
  });

  test("makes a claim for each pod, which outlives it", () => {
    const lab = new Lab();
    // Manifests may not have them yet, as nothing mounts them: the controller knows them already.
    const [loaded] = parseManifestText("app.yaml", set("replicas: 2")).objects;
    if (loaded?.object.kind !== "StatefulSet") throw new Error("no StatefulSet");
    const claim = { accessModes: ["ReadWriteOnce"], resources: { requests: { storage: "1Gi" } } };
    const volumeClaimTemplates = [{ metadata: { name: "data" }, spec: claim }];
    lab.load([{ ...loaded, object: { ...loaded.object, spec: { ...loaded.object.spec, volumeClaimTemplates } } }]);
    lab.settle();
    expect(lab.kept("PersistentVolumeClaim")).toEqual(["data-db-0", "data-db-1"]);
    expect(lab.pod("db-1").desired.pod.spec.volumes).toEqual([
      { name: "data", persistentVolumeClaim: { claimName: "data-db-1" } },
    ]);
    lab.load([]);
    expect(lab.names).toEqual([]);
    expect(lab.kept("PersistentVolumeClaim")).toEqual(["data-db-0", "data-db-1"]);
  });

  describe("claims", () => {
    const claiming = (fields: string, storage = "1Gi"): string =>
      set(
        `${fields}\n  volumeClaimTemplates: [{metadata: {name: data}, spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: ${storage}}}}}]`,
      );
    const sizes = (lab: Lab) =>
      lab.controllers.claims().map(({ spec }) => JSON.stringify(spec).match(/"storage":"(\w+)"/)?.[1]);

    test("are kept when the set becomes smaller, and grow with their template", () => {
      const lab = new Lab();
      lab.write(claiming("replicas: 2"));
      expect(lab.kept("PersistentVolumeClaim")).toEqual(["data-db-0"]); // in order, as its pods
      lab.settle();
      lab.write(claiming("replicas: 1"));
      lab.settle();
      expect(lab.kept("PersistentVolumeClaim")).toEqual(["data-db-0", "data-db-1"]);
      lab.write(claiming("replicas: 1", "2Gi"));
      lab.settle();
      expect(sizes(lab)).toEqual(["2Gi", "2Gi"]);
    });

    test("go after their pod, or with the set, where persistentVolumeClaimRetentionPolicy says so", () => {
      const lab = new Lab();
      const policy = (whenScaled: string, whenDeleted: string): string =>
        `\n  persistentVolumeClaimRetentionPolicy: {whenScaled: ${whenScaled}, whenDeleted: ${whenDeleted}}`;
      lab.write(claiming(`replicas: 2${policy("Delete", "Retain")}`));
      lab.settle();
      expect(lab.controllers.claims()[0]?.metadata.annotations).toEqual({ "gantry.dev/reclaim-policy": "Delete" });
      lab.slow = true;
      lab.write(claiming(`replicas: 1${policy("Delete", "Retain")}`));
      expect(lab.kept("PersistentVolumeClaim")).toEqual(["data-db-0", "data-db-1"]); // its pod still ends
      lab.slow = false;
      lab.gone();
      lab.settle();
      expect(lab.kept("PersistentVolumeClaim")).toEqual(["data-db-0"]);
      lab.load([]);
      expect(lab.kept("PersistentVolumeClaim")).toEqual(["data-db-0"]);

      // The policy of the time counts.
      lab.write(claiming(`replicas: 1${policy("Retain", "Delete")}`));
      lab.settle();
      lab.load([]);
      expect(lab.kept("PersistentVolumeClaim")).toEqual([]);
    });
  });

  test("a broken first pod is mended by a new template", () => {
    const lab = new Lab();
    lab.write(set("replicas: 2", "bad"));
    lab.set("db-0", "unready");
    lab.write(set("replicas: 2", "good"));
    lab.settle();
    expect(lab.names).toEqual(["db-0", "db-1"]);
    expect(lab.pod("db-0").desired.pod.spec.containers[0]?.command).toEqual(["good"]);
  });
});

describe("DaemonSet", () => {
  const set = (fields: string, command = "true"): string =>
    `apiVersion: apps/v1\nkind: DaemonSet\n${HEAD}\n  ${fields}\n  ${template(command)}\n`;

  test("one pod here, replaced when its template changes", () => {
    const lab = new Lab();
    lab.write(set("minReadySeconds: 0"));
    lab.settle();
    const [old = ""] = lab.names;
    expect(old).toMatch(/^db-[a-z0-9]{5}$/);
    expect(lab.status("DaemonSet", "db")).toMatchObject({
      numberReady: 1,
      numberAvailable: 1,
      updatedNumberScheduled: 1,
    });
    lab.slow = true;
    lab.write(set("minReadySeconds: 0", "new"));
    expect(lab.names).toEqual([old]);
    lab.gone();
    expect(lab.names).toHaveLength(1);
    expect(lab.names).not.toEqual([old]);
  });

  test("with a surge the new one is ready first; OnDelete waits for somebody", () => {
    const lab = new Lab();
    const surge = "updateStrategy: {rollingUpdate: {maxSurge: 1, maxUnavailable: 0}}";
    lab.write(set(surge));
    lab.settle();
    const [old = ""] = lab.names;
    lab.write(set(surge, "new"));
    expect(lab.names).toHaveLength(2);
    lab.settle();
    expect(lab.names).not.toContain(old);
    const now = lab.names;
    lab.write(set("updateStrategy: {type: OnDelete}", "newer"));
    lab.settle();
    expect(lab.names).toEqual(now);
    lab.controllers.drop("Pod", `default/${now[0]}`);
    lab.settle();
    expect(lab.names).not.toEqual(now);
  });
});

const JOB_POD = "restartPolicy: Never";

describe("Job", () => {
  const job = (fields: string, command = "true", pod = JOB_POD): string =>
    `apiVersion: batch/v1\nkind: Job\nmetadata: {name: work}\nspec:\n  ${fields}\n  ${template(command, pod)}\n`;

  test("as many successes as asked for, so many at a time", () => {
    const lab = new Lab();
    lab.write(job("completions: 3\n  parallelism: 2"));
    expect(lab.names).toHaveLength(2);
    lab.set("work-", "succeeded");
    expect(lab.names).toHaveLength(3);
    lab.set("work-", "succeeded");
    expect(lab.status("Job", "work")).toMatchObject({ succeeded: 3, active: 0 });
    expect(lab.conditions("Job", "work")).toEqual(["Complete=True CompletionsReached"]);
    // Its pods stay to be looked at, and a restart runs nothing again.
    lab.restart();
    lab.write(job("completions: 3\n  parallelism: 2"));
    expect(lab.names).toHaveLength(3);
  });

  test("a failure is followed by another pod after 10 s, then 20 s; after backoffLimit the job has failed", () => {
    const lab = new Lab();
    lab.write(job("backoffLimit: 1"));
    lab.set("work-", "failed");
    expect(lab.names).toHaveLength(1);
    lab.advance(10_000);
    expect(lab.names).toHaveLength(2);
    lab.set("work-", "failed");
    expect(lab.conditions("Job", "work")).toEqual(["Failed=True BackoffLimitExceeded"]);
    lab.advance(3_600_000);
    expect(lab.names).toHaveLength(2);
  });

  test("OnFailure: restarts of containers count", () => {
    const lab = new Lab();
    lab.write(job("backoffLimit: 2", "true", "restartPolicy: OnFailure"));
    lab.set("work-", "unready", 2);
    expect(lab.conditions("Job", "work")).toEqual([]);
    lab.set("work-", "unready", 3);
    expect(lab.conditions("Job", "work")).toEqual(["Failed=True BackoffLimitExceeded"]);
    expect(lab.names).toEqual([]);
  });

  test("activeDeadlineSeconds, and ttlSecondsAfterFinished", () => {
    const lab = new Lab();
    lab.write(job("activeDeadlineSeconds: 30\n  ttlSecondsAfterFinished: 60"));
    lab.advance(31_000);
    expect(lab.conditions("Job", "work")).toEqual(["Failed=True DeadlineExceeded"]);
    lab.write(job("ttlSecondsAfterFinished: 60", "other"));
    lab.set("work-", "succeeded");
    expect(lab.names).toHaveLength(1);
    lab.advance(61_000);
    expect(lab.names).toEqual([]);
    lab.restart();
    lab.write(job("ttlSecondsAfterFinished: 60", "other"));
    expect(lab.names).toEqual([]);
  });

  test("suspend takes its pods away, and resuming brings them back", () => {
    const lab = new Lab();
    lab.write(job("suspend: true"));
    expect(lab.names).toEqual([]);
    lab.write(job("suspend: false"));
    expect(lab.names).toHaveLength(1);
    lab.write(job("suspend: true"));
    expect(lab.names).toEqual([]);
    expect(lab.conditions("Job", "work")).toEqual(["Suspended=True JobSuspended"]);
  });

  test("Indexed: each pod knows its index, and a failed one is done again", () => {
    const lab = new Lab();
    lab.write(job("completions: 3\n  parallelism: 3\n  completionMode: Indexed"));
    expect(lab.names.map((name) => name.slice(0, 7))).toEqual(["work-0-", "work-1-", "work-2-"]);
    expect(lab.pod(lab.names[1] ?? "").desired.pod.spec).toMatchObject({
      hostname: "work-1",
      containers: [{ env: [{ name: "JOB_COMPLETION_INDEX", value: "1" }] }],
    });
    lab.set("work-1-", "failed");
    lab.advance(10_000);
    expect(lab.names.filter((name) => name.startsWith("work-1-"))).toHaveLength(2);
    lab.set("work-0-", "succeeded");
    lab.set("work-2-", "succeeded");
    expect(lab.status("Job", "work")).toMatchObject({ completedIndexes: "0,2" });
  });
});

describe("CronJob", () => {
  const cron = (fields: string): string => `apiVersion: batch/v1
kind: CronJob
metadata: {name: tick}
spec:
  schedule: "*/5 * * * *"
  ${fields}
  jobTemplate:
    spec:
      template:
        spec: {restartPolicy: Never, containers: [{name: app, image: "localhost/app:1"}]}
`;
  const MINUTE = 60_000;

  test("a job each time, named after the minute; so many are kept", () => {
    const lab = new Lab();
    lab.write(cron("successfulJobsHistoryLimit: 1"));
    expect(lab.kept("Job")).toEqual([]);
    lab.advance(5 * MINUTE);
    const minute = Date.UTC(2025, 0, 1, 0, 5) / MINUTE;
    expect(lab.kept("Job")).toEqual([`tick-${minute}`]);
    expect(lab.status("CronJob", "tick")).toMatchObject({ lastScheduleTime: "2025-01-01T00:05:00Z" });
    lab.set("tick-", "succeeded");
    lab.advance(5 * MINUTE);
    lab.set("tick-", "succeeded");
    expect(lab.kept("Job")).toEqual([`tick-${minute + 5}`]);
  });

  test.each([
    ["Allow", 2],
    ["Forbid", 1],
    ["Replace", 1],
  ])("concurrencyPolicy %s", (policy, jobs) => {
    const lab = new Lab();
    lab.write(cron(`concurrencyPolicy: ${policy}`));
    lab.advance(5 * MINUTE);
    const first = lab.kept("Job");
    lab.advance(5 * MINUTE);
    expect(lab.kept("Job")).toHaveLength(jobs);
    expect(lab.kept("Job").includes(first[0] ?? "")).toBe(policy !== "Replace");
  });

  test("what was missed while nobody was there is made up once, within startingDeadlineSeconds", () => {
    for (const [fields, jobs] of [
      ["suspend: false", 1],
      ["startingDeadlineSeconds: 60", 0],
    ] as const) {
      const lab = new Lab();
      lab.write(cron(fields));
      lab.controllers.close();
      lab.clock.advance(18 * MINUTE);
      lab.restart();
      lab.write(cron(fields));
      expect(lab.kept("Job")).toHaveLength(jobs);
    }
  });

  test("timeZone, and suspend", () => {
    const lab = new Lab();
    lab.write(cron("timeZone: Asia/Kolkata").replace("*/5 * * * *", "30 5 * * *"));
    lab.advance(24 * 60 * MINUTE);
    expect(lab.status("CronJob", "tick")).toMatchObject({ lastScheduleTime: "2025-01-02T00:00:00Z" });
    const other = new Lab();
    other.write(cron("suspend: true"));
    other.advance(60 * MINUTE);
    expect(other.kept("Job")).toEqual([]);
  });
});
