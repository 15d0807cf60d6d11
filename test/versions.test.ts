import { describe, expect, test } from "vitest";
import { cycleFrom, waitingFor } from "../src/dependencies.ts";
import { buildDesired } from "../src/desired.ts";
import { parseManifestText } from "../src/manifest/index.ts";
import { backoffOf, restartDelay } from "../src/pod/rules/backoff.ts";
import { lookAtVersion, rollbackSentence, type VersionFacts, type VersionLook } from "../src/versions.ts";

function look(facts: VersionFacts | undefined, running: string, more: Partial<VersionLook>): VersionFacts | undefined {
  return lookAtVersion(facts, {
    running,
    text: () => running.toUpperCase(),
    ready: false,
    settling: false,
    deadlineMs: 60_000,
    now: 0,
    ...more,
  });
}

describe("versions of a pod", () => {
  test("one that is ready is remembered; the next has its time, and is then rolled back", () => {
    expect(look(undefined, "a", {})).toBeUndefined();
    const first = look(undefined, "a", { ready: true });
    expect(first).toEqual({ ready: { id: "a", text: "A" }, failed: undefined });
    expect(look(first, "a", { ready: true })).toBe(first);
    expect(look(first, "a", {})).toBe(first);
    const trying = look(first, "b", { now: 1000 });
    expect(trying?.trying).toEqual({ id: "b", since: 1000, until: 61_000 });
    expect(look(trying, "b", { now: 60_999 })).toBe(trying);
    expect(look(trying, "b", { now: 61_000, settling: true })).toBe(trying);
    const failed = look(trying, "b", { now: 61_000 });
    expect(failed).toEqual({ ready: { id: "a", text: "A" }, failed: { id: "b", at: 61_000, seconds: 60 } });
    expect(rollbackSentence(failed ?? { ready: { id: "", text: "" } })).toContain("within 60 s");
    // The old one is ready again: what failed is remembered, so that it is not tried again.
    expect(look(failed, "a", { ready: true, now: 70_000 })?.failed?.id).toBe("b");
    const other = look({ ready: { id: "a", text: "A" } }, "c", { ready: true });
    expect(other?.ready.id).toBe("c");
  });
});

describe("order between pods", () => {
  const graph: Record<string, string[]> = { a: ["b", "d"], b: ["c"], c: ["a"], d: [], e: ["a"], f: ["f"] };
  const of = (key: string): string[] => graph[key] ?? [];

  test("a circle is found from each pod in it, and from no other", () => {
    expect(cycleFrom("a", of)).toEqual(["a", "b", "c", "a"]);
    expect(cycleFrom("c", of)).toEqual(["c", "a", "b", "c"]);
    expect(cycleFrom("d", of)).toBeUndefined();
    expect(cycleFrom("e", of)).toBeUndefined();
    expect(cycleFrom("f", of)).toEqual(["f", "f"]);
  });

  test("says what is waited for", () => {
    expect(waitingFor(["x/a", "x/b"], (key) => (key === "x/a" ? "missing" : "unready"))).toBe(
      "waits for pod x/a, which does not exist, and for pod x/b, which is not ready",
    );
    expect(waitingFor(["x/a"], () => "ready")).toBeUndefined();
  });

  test("a circle is refused with its place, and named", () => {
    const pod = (name: string, on: string): string =>
      `apiVersion: v1\nkind: Pod\nmetadata:\n  name: ${name}\n  annotations:\n    gantry.dev/depends-on: ${on}\nspec: {containers: [{name: app, image: "a:1"}]}\n`;
    const { objects } = parseManifestText(
      "f.yaml",
      [pod("a", "b"), pod("b", "default/a"), pod("c", "a")].join("---\n"),
    );
    const desired = buildDesired(objects, {
      drivers: ["namespace"],
      handlers: {},
      defaultRuntimeClass: "namespace",
      accepted: new Map(),
    });
    expect([...desired.pods.keys()]).toEqual(["default/c"]);
    expect(desired.problems).toMatchObject([
      { place: { line: 6, column: 28 }, message: expect.stringContaining("default/a → default/b → default/a") },
      { message: expect.stringContaining("default/b → default/a → default/b") },
    ]);
  });

  test.each([
    ["gantry.dev/depends-on", "a//b", "is no pod"],
    ["gantry.dev/restart-backoff-base-seconds", '"0"', "from 1 to 300"],
    ["gantry.dev/max-restart-backoff-seconds", '"1h"', "from 1 to 300"],
    ["gantry.dev/restart-backoff-reset-seconds", '"-1"', "from 1 to 86400"],
    ["gantry.dev/progress-deadline-seconds", '"x"', "from 1 to 86400"],
    ["gantry.dev/rollback", '"no"', 'must be "true" or "false"'],
  ])("annotation %s: %s is refused at its place", (name, value, message) => {
    const text = `apiVersion: v1\nkind: Pod\nmetadata:\n  name: a\n  annotations:\n    ${name}: ${value}\nspec: {containers: [{name: app, image: "a:1"}]}\n`;
    const { problems } = parseManifestText("f.yaml", text);
    expect(problems).toMatchObject([
      { severity: "error", place: { line: 6 }, message: expect.stringContaining(message) },
    ]);
  });
});

test("a pod's own backoff: base, most and reset", () => {
  const annotations = {
    "gantry.dev/restart-backoff-base-seconds": "2",
    "gantry.dev/max-restart-backoff-seconds": "7",
    "gantry.dev/restart-backoff-reset-seconds": "30",
  };
  const backoff = backoffOf(annotations, 300_000);
  expect(backoff).toEqual({ maxBackoffMs: 7000, baseBackoffMs: 2000, resetBackoffMs: 30_000 });
  expect([0, 1, 2, 3].map((level) => restartDelay(level, backoff.maxBackoffMs, backoff.baseBackoffMs))).toEqual([
    0, 2000, 4000, 7000,
  ]);
});
