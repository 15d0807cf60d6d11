import { describe, expect, it } from "vitest";
import type { ContainerState } from "../../../src/pod/contract.ts";
import { maxBackoff, restartDelay, retryDelay } from "../../../src/pod/rules/backoff.ts";
import { blankFacts } from "../../../src/pod/rules/exits.ts";
import { containerId, isOfSandbox, sandboxId } from "../../../src/pod/rules/ids.ts";
import { isProgress, mergeLook } from "../../../src/pod/rules/observation.ts";
import { phaseOf } from "../../../src/pod/rules/phase.ts";
import { recordExit, shouldRestart } from "../../../src/pod/rules/restart.ts";
import { graceLeft, type LiveContainer, shutdownOrder } from "../../../src/pod/rules/shutdown.ts";
import type { ContainerKind } from "../../../src/pod/rules/slots.ts";
import {
  cutMessage,
  exitOf,
  logTail,
  terminationOf,
  terminationReason,
  wantsLogTail,
} from "../../../src/pod/rules/termination.ts";
import type { ObservedContainer, ObservedSandbox } from "../../../src/sandbox/driver.ts";
import type { ContainerExit } from "../../../src/store/contract.ts";

describe("restart", () => {
  it.each([
    ["main", "Always", 0, true],
    ["main", "Always", 1, true],
    ["main", "OnFailure", 0, false],
    ["main", "OnFailure", 1, true],
    ["main", "Never", 1, false],
    ["init", "Always", 0, false],
    ["init", "Always", 1, true],
    ["init", "Never", 1, false],
    ["sidecar", "Never", 0, true],
    ["sidecar", "Never", 1, true],
  ] as const)("a %s under %s after exit code %i: %s", (kind, policy, code, expected) => {
    expect(shouldRestart(kind, policy, { exitCode: code })).toBe(expected);
  });

  it.each([
    ["main", "OnFailure", true],
    ["main", "Never", false],
    ["sidecar", "Never", true],
  ] as const)("a %s under %s that failed its probe and ended politely: %s", (kind, policy, expected) => {
    const killedFor = { check: "liveness", message: "" } as const;
    expect(shouldRestart(kind, policy, { exitCode: 0, killedFor })).toBe(expected);
  });
});

describe("backoff", () => {
  it("is 0, then 10 s doubling to 5 minutes", () => {
    expect([0, 1, 2, 3, 4, 5, 6, 7, 99].map((level) => restartDelay(level) / 1000)).toEqual([
      0, 10, 20, 40, 80, 160, 300, 300, 300,
    ]);
    expect([0, 1, 6].map((failures) => retryDelay(failures) / 1000)).toEqual([10, 20, 300]);
  });

  it("never exceeds its maximum, also below 10 s", () => {
    expect([1, 2, 9].map((level) => restartDelay(level, 1000))).toEqual([1000, 1000, 1000]);
  });

  it.each([
    [undefined, { ms: 5, invalid: undefined }],
    ["30", { ms: 30_000, invalid: undefined }],
    ["0", { ms: 5, invalid: "0" }],
    ["301", { ms: 5, invalid: "301" }],
    ["soon", { ms: 5, invalid: "soon" }],
  ])("takes the annotation %s", (annotation, expected) => {
    expect(maxBackoff(annotation, 5)).toEqual(expected);
  });

  const exit = (startedAt: number, finishedAt: number): ContainerExit => ({
    containerId: "s-0-app-0",
    attempt: 0,
    exitCode: 1,
    reason: "Error",
    message: undefined,
    startedAt,
    finishedAt,
    logPath: "",
    imageDigest: "",
  });
  const rule = { kind: "main", policy: "Always", maxBackoffMs: 300_000 } as const;
  const facts = { ...blankFacts("u", "app"), specHash: "h", attempt: 1 };

  it("counts from the end of the run", () => {
    const first = recordExit(facts, exit(0, 1000), rule);
    expect(first).toMatchObject({ backoffLevel: 1, backoffUntil: undefined });
    expect(recordExit(first, exit(1000, 3000), rule)).toMatchObject({
      backoffLevel: 2,
      backoffUntil: 13_000,
      previousExit: { finishedAt: 1000 },
    });
  });

  it("is forgotten after a run of 10 minutes, not of a second less", () => {
    const high = { ...facts, backoffLevel: 6 };
    expect(recordExit(high, exit(0, 600_000), rule)).toMatchObject({ backoffLevel: 1, backoffUntil: undefined });
    expect(recordExit(high, exit(0, 599_000), rule)).toMatchObject({ backoffLevel: 7, backoffUntil: 899_000 });
  });

  it("does not hold up a run that was asked for", () => {
    expect(recordExit({ ...facts, specHash: "", backoffLevel: 6 }, exit(0, 1), rule)).toMatchObject({
      backoffLevel: 0,
      backoffUntil: undefined,
    });
  });
});

describe("ids", () => {
  const uid = "3f2504e0-4f89-41d3-9a0c-0305e82c3301";

  it("are readable, valid and within 63 characters", () => {
    const sandbox = sandboxId(uid, 7);
    expect(sandbox).toBe("3f2504e04f89-7");
    expect(containerId(sandbox, "app", 12)).toBe("3f2504e04f89-7-app-12");
    for (const name of ["a".repeat(63), `${"a".repeat(20)}-${"b".repeat(42)}`, `x${"-".repeat(40)}y`]) {
      const id = containerId(sandboxId(uid, 99_999), name, 99_999);
      expect(id).toMatch(/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/);
    }
    expect(containerId(sandbox, `${"a".repeat(40)}1`, 0)).not.toBe(containerId(sandbox, `${"a".repeat(40)}2`, 0));
  });

  it("tell their sandbox", () => {
    expect(isOfSandbox("s-1-app-0", "s-1")).toBe(true);
    expect(isOfSandbox("s-11-app-0", "s-1")).toBe(false);
  });
});

describe("shutdown", () => {
  const live = (id: string, kind: ContainerKind, index: number, preStop: LiveContainer["preStop"] = "none") => ({
    id,
    kind,
    index,
    preStop,
  });
  const all = [live("s0", "sidecar", 0), live("s1", "sidecar", 1), live("m", "main", 2), live("n", "main", 3)];

  it.each([
    [
      "mains first",
      all,
      30_000,
      [
        ["m", 30_000],
        ["n", 30_000],
      ],
    ],
    ["then the last sidecar", all.slice(0, 2), 20_000, [["s1", 20_000]]],
    ["never less than 2 s for a sidecar", all.slice(0, 1), 500, [["s0", 2000]]],
    [
      "everybody once the grace is over",
      all,
      0,
      [
        ["m", 0],
        ["n", 0],
        ["s1", 2000],
        ["s0", 2000],
      ],
    ],
    ["nobody", [], 10, []],
    ["not while its preStop hook runs", [live("m", "main", 0, "pending"), live("n", "main", 1)], 500, [["n", 500]]],
    ["no sidecar while a main's hook runs", [live("s", "sidecar", 0), live("m", "main", 1, "pending")], 500, []],
    ["what its hook left, but never less than 2 s", [live("m", "main", 0, "done")], 500, [["m", 2000]]],
    ["at the end of the grace whatever the hooks do", [live("m", "main", 0, "pending")], 0, [["m", 2000]]],
  ] as const)("%s", (_, containers, left, expected) => {
    expect(shutdownOrder(containers, 1000 + left, 1000).map(({ id, graceMs }) => [id, graceMs])).toEqual(expected);
  });

  it("deducts what a preStop hook took, down to 2 s", () => {
    expect([0, 10_000, 29_000, 40_000].map((took) => graceLeft(30_000, took))).toEqual([30_000, 20_000, 2000, 2000]);
  });

  it("gives nobody anything when killing at once", () => {
    expect(shutdownOrder(all, 0, 0, true).every(({ graceMs }) => graceMs === 0)).toBe(true);
  });
});

describe("termination", () => {
  it.each([
    [0, false, "Completed"],
    [3, false, "Error"],
    [137, true, "OOMKilled"],
  ])("of %i, oom %s is %s", (code, oom, reason) => {
    expect(terminationReason(code, oom)).toBe(reason);
  });

  it.each([
    [143, "was killed by hand (SIGTERM)"],
    [137, "was killed by hand (SIGKILL)"],
    [1, undefined],
    [139, undefined],
  ])("of %i that nobody here asked for: %s", (exitCode, endedByOthers) => {
    const exit: ContainerExit = {
      ...{ containerId: "c", attempt: 0, exitCode, reason: "Error", message: undefined, startedAt: undefined },
      ...{ finishedAt: 0, logPath: "", imageDigest: "" },
    };
    expect(terminationOf({ ...exit, unasked: true }).endedByOthers).toBe(endedByOthers);
    expect(terminationOf(exit).endedByOthers).toBe(undefined);
  });

  it("without an exit code is unknown, 137", () => {
    const container: ObservedContainer = {
      id: "c",
      name: "a",
      attempt: 0,
      specHash: "",
      labels: {},
      imageDigest: "",
      imageName: "",
      logPath: "",
      state: "unknown",
      createdAt: 0,
    };
    expect(exitOf(container, 1, 5)).toMatchObject({ exitCode: 137, reason: "ContainerStatusUnknown", finishedAt: 5 });
  });

  it("messages share 12 KiB, at most 4096 bytes each, and never cut a character in two", () => {
    expect(cutMessage("x".repeat(5000), 1)).toHaveLength(4096);
    expect(cutMessage("x".repeat(5000), 6)).toHaveLength(2048);
    expect(cutMessage("ä".repeat(3000), 1)).toBe("ä".repeat(2048));
    expect(cutMessage(`x${"ä".repeat(3000)}`, 1)).toBe(`x${"ä".repeat(2047)}`);
  });

  it.each([
    ["File", 1, undefined, false],
    ["FallbackToLogsOnError", 1, undefined, true],
    ["FallbackToLogsOnError", 1, "", true],
    ["FallbackToLogsOnError", 1, "said", false],
    ["FallbackToLogsOnError", 0, undefined, false],
  ] as const)("policy %s, exit code %i, message %s: log tail %s", (policy, code, message, expected) => {
    expect(wantsLogTail(policy, code, message)).toBe(expected);
  });

  it("takes 80 lines or 2048 bytes from the end of a log", () => {
    const line = (text: string) => `2026-01-01T00:00:00.000000001Z stdout F ${text}\n`;
    expect(
      logTail(Array.from({ length: 100 }, (_, i) => line(String(i))).join(""))
        .split("\n")
        .slice(0, -1),
    ).toHaveLength(80);
    expect(logTail(line("x".repeat(3000)))).toHaveLength(2048);
    expect(logTail(`half a line\n${line("whole")}`)).toBe("whole\n");
    expect(logTail("")).toBe("");
  });
});

describe("phase", () => {
  const waiting = { type: "waiting", reason: "x" } as const;
  const running = { type: "running", containerId: "c", startedAt: 0 } as const;
  const ended = (exitCode: number) =>
    ({ type: "terminated", containerId: "c", exitCode, reason: "", finishedAt: 0 }) as const;
  const one = (kind: ContainerState["kind"], state: ContainerState["state"], before = false): ContainerState => ({
    name: "c",
    kind,
    image: "",
    imageDigest: undefined,
    signers: [],
    restartCount: 0,
    ready: false,
    started: false,
    state,
    lastTermination: before ? { containerId: "c", exitCode: 1, reason: "Error", finishedAt: 0 } : undefined,
  });

  it.each<[string, ContainerState[], string]>([
    ["init failed for good", [one("init", ended(1)), one("main", waiting)], "Failed"],
    ["init pending", [one("init", waiting), one("main", waiting)], "Pending"],
    ["init running, main ran before", [one("init", running), one("main", waiting, true)], "Pending"],
    ["a main never started", [one("main", running), one("main", waiting)], "Pending"],
    ["one runs", [one("main", running), one("main", ended(1))], "Running"],
    ["to be restarted", [one("main", waiting, true)], "Running"],
    ["all well", [one("main", ended(0)), one("main", ended(0))], "Succeeded"],
    ["one not", [one("main", ended(0)), one("main", ended(2))], "Failed"],
    ["a sidecar that ended does not matter", [one("sidecar", ended(143)), one("main", ended(0))], "Succeeded"],
  ])("%s", (_, containers, phase) => {
    expect(phaseOf({ failure: undefined, containers })).toBe(phase);
  });

  it("is Failed by decision", () => {
    expect(phaseOf({ failure: { reason: "Evicted", message: "" }, containers: [one("main", running)] })).toBe("Failed");
  });
});

describe("reports", () => {
  const container = (id: string, state: ObservedContainer["state"], name = "a"): ObservedContainer => ({
    id,
    name,
    attempt: 0,
    specHash: "",
    labels: {},
    imageDigest: "",
    imageName: "",
    logPath: "",
    state,
    createdAt: 0,
  });
  const sandbox = (...containers: ObservedContainer[]): ObservedSandbox[] => [
    {
      id: "s",
      runtimeClass: "memory",
      pod: { namespace: "d", name: "p", uid: "u" },
      attempt: 0,
      state: "ready",
      createdAt: 0,
      ips: [],
      labels: {},
      containers,
      detail: {},
    },
  ];

  it.each<[string, ObservedSandbox[], ObservedSandbox[], boolean]>([
    ["an exit is believed", sandbox(container("c", "running")), sandbox(container("c", "exited")), true],
    ["a start is believed", sandbox(container("c", "created")), sandbox(container("c", "running")), true],
    ["a resurrection is not", sandbox(container("c", "exited")), sandbox(container("c", "running")), false],
    ["a lost exit code is not", sandbox(container("c", "exited")), sandbox(container("c", "unknown")), false],
    ["a missing container is not", sandbox(container("c", "running")), sandbox(), false],
    ["a new one is not", sandbox(), sandbox(container("c", "running")), false],
    ["a missing sandbox is not", sandbox(), [], false],
  ])("%s", (_, known, seen, expected) => {
    expect(isProgress(known, seen)).toBe(expected);
  });

  it("a look leaves what is being worked on as it is known", () => {
    const known = sandbox(container("a1", "running", "a"), container("b1", "running", "b"));
    const seen = sandbox(container("a0", "exited", "a"), container("b1", "exited", "b"));
    expect(
      mergeLook(known, seen, (name) => name === "a")[0]?.containers.map(({ id, state }) => `${id} ${state}`),
    ).toEqual(["b1 exited", "a1 running"]);
  });
});
