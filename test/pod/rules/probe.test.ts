import { describe, expect, it } from "vitest";
import { container as containerSchema } from "../../../src/manifest/schema/container.ts";
import { hookAction, hookLabel, parseHookLabel, portOf, probeAction } from "../../../src/pod/rules/actions.ts";
import { activeChecks, type Check, checksAfter, checksOf, graceAfter } from "../../../src/pod/rules/checks.ts";
import {
  counted,
  firstProbeAt,
  holdsAfter,
  isToBeTold,
  NO_RESULTS,
  nextProbeAt,
  type ProbeResult,
  verdictOf,
} from "../../../src/pod/rules/probe.ts";

const results = (text: string): ProbeResult[] => [...text].map((one) => (one === "s" ? "success" : "failure"));

/** The verdicts after each of the results: s, f, or - for none. */
function verdicts(text: string, failureThreshold: number, successThreshold: number): string {
  let tally = NO_RESULTS;
  return results(text)
    .map((result) => {
      tally = counted(tally, result);
      return verdictOf(tally, { failureThreshold, successThreshold })?.[0] ?? "-";
    })
    .join("");
}

describe("thresholds", () => {
  it.each([
    ["s", 3, 1, "s"],
    ["fff", 3, 1, "--f"],
    ["ffsff", 3, 1, "--s--"],
    ["fffff", 3, 1, "--fff"],
    ["ssfss", 1, 2, "-sf-s"],
    ["sfsfsf", 2, 2, "------"],
    ["f", 1, 1, "f"],
    ["ffffffffff", 10, 3, "---------f"],
    ["fffsss", 3, 3, "--f--s"],
  ] as const)("%s with failure %i, success %i: %s", (text, failure, success, expected) => {
    expect(verdicts(text, failure, success)).toBe(expected);
  });
});

describe("times", () => {
  const probe = { initialDelaySeconds: 5, periodSeconds: 10 };
  it.each([
    ["after its delay", 1000, 1000, 0, 6000],
    ["at once when that has passed", 1000, 9000, 0, 9000],
    ["spread over a period after a restart of ours", 1000, 9000, 0.5, 14_000],
    ["not before its delay even so", 8500, 9000, 0.1, 13_500],
  ] as const)("first %s", (_, startedAt, now, spread, expected) => {
    expect(firstProbeAt({ probe, startedAt, now, spread })).toBe(expected);
  });

  it("then a period after it began, or at once when it took longer", () => {
    expect(nextProbeAt(probe, 1000, 1500)).toBe(11_000);
    expect(nextProbeAt(probe, 1000, 12_000)).toBe(12_000);
  });

  it.each([
    ["liveness", "failure", true],
    ["liveness", "success", false],
    ["startup", "success", true],
    ["startup", "failure", true],
    ["readiness", "failure", false],
  ] as const)("%s after %s: on hold %s", (kind, verdict, expected) => {
    expect(holdsAfter(kind, verdict)).toBe(expected);
  });

  it("is told of when it begins, when it counts, and once a minute", () => {
    const told = [1, 2, 3, 4].map((run) => isToBeTold({ last: "failure", run }, 3, 1000));
    expect(told).toEqual([true, false, true, false]);
    expect(isToBeTold({ last: "failure", run: 9 }, 3, 60_000)).toBe(true);
  });
});

const slotOf = (spec: object, kind: "init" | "sidecar" | "main" = "main") => ({
  kind,
  spec: containerSchema.parse({ name: "app", image: "app", ...spec }),
});
const exec = { exec: { command: ["x"] } };
const full = slotOf({
  startupProbe: { ...exec, terminationGracePeriodSeconds: 5 },
  readinessProbe: exec,
  livenessProbe: exec,
  lifecycle: { postStart: exec },
});

describe("checks", () => {
  it("begin with nothing found; without probes and hooks all is well", () => {
    const blank = { changedAt: undefined, failure: undefined };
    expect(checksOf(full, "c", undefined)).toEqual({
      containerId: "c",
      postStarted: false,
      startup: false,
      ready: false,
      ...blank,
    });
    const well = { containerId: "c", postStarted: true, startup: true, ready: true, ...blank };
    expect(checksOf(slotOf({}), "c", undefined)).toEqual(well);
    expect(checksOf(slotOf({ livenessProbe: exec }), "c", undefined)).toEqual(well);
    expect(checksOf({ ...full, kind: "init" }, "c", undefined)).toEqual(well);
  });

  it("are those of one run only", () => {
    const found = checksAfter(checksOf(full, "c-0", undefined), of("postStart", "success"), 7);
    expect(checksOf(full, "c-0", { checks: found }).postStarted).toBe(true);
    expect(checksOf(full, "c-1", { checks: found }).postStarted).toBe(false);
  });

  function of(check: Check, result: ProbeResult) {
    return { containerId: "c-0", name: "app", check, result, message: "why" };
  }

  /** What is active after these findings. */
  it.each([
    [[], false, ["postStart"]],
    [[], true, []],
    [[of("postStart", "success")], false, ["startup"]],
    [[of("postStart", "failure")], false, []],
    [[of("postStart", "success")], true, []],
    [[of("postStart", "success"), of("startup", "failure")], false, []],
    [[of("postStart", "success"), of("startup", "success")], false, ["readiness", "liveness"]],
    [[of("postStart", "success"), of("startup", "success")], true, ["readiness"]],
    [[of("postStart", "success"), of("startup", "success"), of("liveness", "failure")], false, ["readiness"]],
  ] as const)("after %j, deleting %s: %j", (findings, deleting, expected) => {
    const checks = findings.reduce((now, finding) => checksAfter(now, finding, 7), checksOf(full, "c-0", undefined));
    expect(activeChecks(full, checks, deleting)).toEqual(expected);
  });

  it("change only when something is new, and say when", () => {
    const before = checksOf(full, "c-0", undefined);
    expect(checksAfter(before, of("readiness", "failure"), 7)).toBe(before);
    expect(checksAfter(before, of("liveness", "success"), 7)).toBe(before);
    const ready = checksAfter(before, of("readiness", "success"), 7);
    expect(ready).toMatchObject({ ready: true, changedAt: 7 });
    expect(checksAfter(ready, of("readiness", "failure"), 9)).toMatchObject({ ready: false, changedAt: 9 });
    const failed = checksAfter(before, of("liveness", "failure"), 7);
    expect(failed.failure).toEqual({ check: "liveness", message: "why" });
    expect(checksAfter(failed, of("startup", "failure"), 9)).toBe(failed);
  });

  it("give the probe's own grace, else the pod's", () => {
    expect(graceAfter(full, "startup", 30_000)).toBe(5000);
    expect(graceAfter(full, "liveness", 30_000)).toBe(30_000);
    expect(graceAfter(full, "postStart", 30_000)).toBe(30_000);
  });
});

describe("actions", () => {
  const { spec } = slotOf({
    ports: [{ name: "web", containerPort: 8080, hostPort: 80 }],
    env: [
      { name: "A", value: "1" },
      { name: "B", valueFrom: { fieldRef: { fieldPath: "metadata.name" } } },
    ],
  });
  const probe = (handler: object) => {
    const parsed = slotOf({ livenessProbe: handler }).spec.livenessProbe;
    if (parsed === undefined) throw new Error("no probe");
    return parsed;
  };

  it.each([
    [{ exec: { command: ["a", "$(A) $(B) $$(A)"] } }, { type: "exec", command: ["a", "1 $(B) $(A)"] }],
    [
      { httpGet: { port: "web", httpHeaders: [{ name: "X", value: "y" }] } },
      { scheme: "HTTP", host: "10.0.0.9", port: 8080, path: "/", headers: [{ name: "X", value: "y" }] },
    ],
    [
      { httpGet: { port: 1, host: "h", path: "p?q=1", scheme: "HTTPS" } },
      { scheme: "HTTPS", host: "h", port: 1, path: "p?q=1" },
    ],
    [{ tcpSocket: { port: "web" } }, { type: "tcpSocket", host: "10.0.0.9", port: 8080 }],
    [{ tcpSocket: { port: 1, host: "h" } }, { type: "tcpSocket", host: "h", port: 1 }],
    [{ grpc: { port: 5 } }, { type: "grpc", host: "10.0.0.9", port: 5, service: "" }],
    [{ grpc: { port: 5, service: "s" } }, { type: "grpc", service: "s" }],
  ])("of probe %j", (handler, expected) => {
    expect(probeAction(probe(handler), spec, "10.0.0.9")).toMatchObject(expected);
  });

  it("refuse the name of a port that is not there", () => {
    expect(() => portOf("wbe", spec)).toThrow(/no port named "wbe"/);
  });

  it.each([
    [{ exec: { command: ["$(A)"] } }, { type: "exec", command: ["$(A)"] }],
    [{ sleep: { seconds: 3 } }, { type: "sleep", ms: 3000 }],
    [{ httpGet: { port: "web", path: "/bye" } }, { type: "httpGet", host: "10.0.0.9", port: 8080, path: "/bye" }],
  ])("of hook %j, kept as a label and read again", (handler, expected) => {
    const hook = slotOf({ lifecycle: { preStop: handler } }).spec.lifecycle?.preStop;
    if (hook === undefined) throw new Error("no hook");
    expect(parseHookLabel(hookLabel(hookAction(hook, spec, "")), "10.0.0.9")).toMatchObject(expected);
  });

  it("of a label that is none: nothing", () => {
    for (const label of [undefined, "", "{", '{"type":"dance"}']) expect(parseHookLabel(label, "")).toBeUndefined();
  });
});
