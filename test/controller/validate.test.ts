import { describe, expect, test } from "vitest";
import { parseSchedule } from "../../src/manifest/cron.ts";
import { formatProblem, parseManifestText } from "../../src/manifest/index.ts";
import { template } from "./lab.ts";

const JOB = 'restartPolicy: Never\n          containers: [{name: app, image: "a:1"}]';

function first(text: string): string {
  const [problem] = parseManifestText("f.yaml", text).problems;
  return problem === undefined ? "" : formatProblem(problem);
}

function keeper(kind: string, spec: string, selector = "{matchLabels: {app: web}}"): string {
  return `apiVersion: apps/v1\nkind: ${kind}\nmetadata: {name: web}\nspec:\n  selector: ${selector}\n  ${spec}\n  ${template()}\n`;
}

function cron(schedule: string, more = "suspend: false"): string {
  return `apiVersion: batch/v1\nkind: CronJob\nmetadata: {name: web}\nspec:\n  schedule: ${schedule}\n  ${more}\n  jobTemplate:\n    spec:\n      template:\n        spec:\n          ${JOB}\n`;
}

describe("what is refused, and where", () => {
  test.each([
    [
      keeper("Deployment", "replicas: 1", "{matchLabels: {app: other}}"),
      "f.yaml:5:13: error: spec.selector: does not match the labels",
    ],
    [keeper("Deployment", "replicas: 1", "{}"), "f.yaml:5:13: error: spec.selector: must not be empty"],
    [keeper("Deployment", "replicas: -1"), "f.yaml:6:13: error: spec.replicas: -1 is too small"],
    [
      keeper("Deployment", "strategy: {type: Recreate, rollingUpdate: {maxSurge: 1}}"),
      "spec.strategy.rollingUpdate: goes only with type RollingUpdate",
    ],
    [
      keeper("Deployment", "strategy: {rollingUpdate: {maxSurge: 0, maxUnavailable: 0}}"),
      "maxUnavailable: can't be 0 when maxSurge is 0",
    ],
    [
      keeper("Deployment", 'strategy: {rollingUpdate: {maxSurge: "1.5%"}}'),
      'must be a number of pods, or a percentage such as "25%"',
    ],
    [keeper("Deployment", "replica: 1"), "unknown field 'replica' (did you mean 'replicas'?)"],
    [keeper("Deployment", "progressDeadlineSeconds: 5\n  minReadySeconds: 5"), "must be more than minReadySeconds"],
    [
      keeper("DaemonSet", "updateStrategy: {rollingUpdate: {maxSurge: 1}}"),
      "maxSurge: can't be together with maxUnavailable",
    ],
    [
      keeper("StatefulSet", "updateStrategy: {rollingUpdate: {maxUnavailable: 2}}"),
      "pods of a StatefulSet are changed one by one",
    ],
    [
      keeper("StatefulSet", "volumeClaimTemplates: [{metadata: {name: data}, spec: {accessModes: [ReadWriteOnce]}}]"),
      "spec.volumeClaimTemplates[0].spec.resources.requests.storage: is required (e.g. 1Gi)",
    ],
    [cron('"61 * * * *"'), 'f.yaml:5:13: error: spec.schedule: "61 * * * *" is not a schedule'],
    [cron('"* * * * * *"'), "must have five fields"],
    [cron('"0 0 30 2 *"'), "never comes"],
    [cron('"TZ=UTC 0 0 * * *"'), "can't name a time zone"],
    [cron('"0 0 * * *"', "timeZone: Mars/Base"), "f.yaml:6:13: error: spec.timeZone"],
  ])("%#", (text, message) => {
    expect(first(text)).toContain(message);
  });

  test("what is right has nothing to be told", () => {
    for (const schedule of ['"@hourly"', '"@every 1h30m"', '"0 3 * * MON-FRI"', '"*/15 0-6 1,15 * ?"'])
      expect(first(cron(schedule, "timeZone: Europe/Berlin"))).toBe("");
    expect(first(keeper("StatefulSet", "serviceName: web"))).toBe("");
  });
});

test("schedules know their last and next time", () => {
  const at = Date.UTC(2025, 2, 30, 12);
  const daily = parseSchedule("30 2 * * *", "Etc/UTC");
  expect(daily.next(at)).toBe(Date.UTC(2025, 2, 31, 2, 30));
  expect(daily.latest(at - 86_400_000, at)).toBe(Date.UTC(2025, 2, 30, 2, 30));
  expect(daily.latest(Date.UTC(2025, 2, 30, 2, 30), at)).toBeUndefined();
  expect(daily.latest(0, Date.UTC(2025, 2, 30, 2, 30))).toBe(Date.UTC(2025, 2, 30, 2, 30));
  const every = parseSchedule("@every 90s", undefined);
  expect(every.latest(at, at + 89_000)).toBeUndefined();
  expect(every.latest(at, at + 200_000)).toBe(at + 180_000);
});
