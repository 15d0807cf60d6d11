import { describe, expect, test } from "vitest";
import { afterUpdate, serverSideApply } from "../../src/api/patch/apply.ts";
import { jsonPatch } from "../../src/api/patch/json-patch.ts";
import { mergePatch } from "../../src/api/patch/merge-patch.ts";
import type { Fields } from "../../src/api/patch/plain.ts";
import { strategicMerge } from "../../src/api/patch/strategic.ts";

const HOSTILE = JSON.parse('{"__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":1}}}');
/** Objects as `inside` has it, so many of them in each other. */
const nested = (depth: number): unknown => JSON.parse(`${'{"a":'.repeat(depth)}1${"}".repeat(depth)}`);

describe("merge patches", () => {
  test.each([
    // The examples of RFC 7386, appendix A.
    [{ a: "b" }, { a: "c" }, { a: "c" }],
    [{ a: "b" }, { b: "c" }, { a: "b", b: "c" }],
    [{ a: "b", b: "c" }, { a: null }, { b: "c" }],
    [{ a: ["b"] }, { a: "c" }, { a: "c" }],
    [{ a: { b: "c" } }, { a: { b: "d", c: null } }, { a: { b: "d" } }],
    [{ a: [{ b: "c" }] }, { a: [1] }, { a: [1] }],
    [
      ["a", "b"],
      ["c", "d"],
      ["c", "d"],
    ],
    [{ a: "b" }, null, null],
    [{ e: null }, { a: 1 }, { e: null, a: 1 }],
    [[1, 2], { a: "b", c: null }, { a: "b" }],
    [{}, { a: { bb: { ccc: null } } }, { a: { bb: {} } }],
  ])("%j and %j are %j", (value, patch, result) => {
    expect(mergePatch(value, patch)).toEqual(result);
  });
});

describe("strategic merge patches", () => {
  const spec = (...containers: object[]) => ({ spec: { containers } });
  test.each([
    [
      "entries by their name",
      spec({ name: "a", image: "x" }, { name: "b" }),
      spec({ name: "a", image: "y" }),
      spec({ name: "a", image: "y" }, { name: "b" }),
    ],
    ["a new entry", spec({ name: "a" }), spec({ name: "b" }), spec({ name: "a" }, { name: "b" })],
    ["an entry out", spec({ name: "a" }, { name: "b" }), spec({ name: "a", $patch: "delete" }), spec({ name: "b" })],
    ["a list anew", spec({ name: "a" }), spec({ name: "b" }, { $patch: "replace" }), spec({ name: "b" })],
    ["a map anew", { a: { b: 1 } }, { a: { c: 2, $patch: "replace" } }, { a: { c: 2 } }],
    ["a field out", { a: { b: 1, c: 2 } }, { a: { b: null } }, { a: { c: 2 } }],
    ["plain lists anew", { command: ["a", "b"] }, { command: ["c"] }, { command: ["c"] }],
    ["only some of the fields", { a: { b: 1, c: 2 } }, { a: { $retainKeys: ["c", "d"], d: 3 } }, { a: { c: 2, d: 3 } }],
    [
      "values of a set",
      { metadata: { finalizers: ["a"] } },
      { metadata: { finalizers: ["a", "b"] } },
      { metadata: { finalizers: ["a", "b"] } },
    ],
    [
      "values out of a set",
      { metadata: { finalizers: ["a", "b"] } },
      { metadata: { "$deleteFromPrimitiveList/finalizers": ["a"] } },
      { metadata: { finalizers: ["b"] } },
    ],
    [
      "another order",
      spec({ name: "a" }, { name: "b" }),
      {
        spec: {
          "$setElementOrder/containers": [{ name: "b" }, { name: "a" }],
          containers: [{ name: "b", image: "x" }],
        },
      },
      spec({ name: "b", image: "x" }, { name: "a" }),
    ],
    [
      "ports of one number by their protocol",
      spec({ name: "a", ports: [{ containerPort: 53, protocol: "UDP" }, { containerPort: 53 }] }),
      spec({ name: "a", ports: [{ containerPort: 53, protocol: "TCP", name: "dns" }] }),
      spec({
        name: "a",
        ports: [
          { containerPort: 53, protocol: "UDP" },
          { containerPort: 53, protocol: "TCP", name: "dns" },
        ],
      }),
    ],
  ])("%s", (_what, value, patch, result) => {
    expect(strategicMerge(value, patch)).toEqual(result);
  });

  test.each([
    [{ a: { $patch: "turn" } }, /a: unknown directive "turn"/],
    [{ $what: 1 }, /unknown directive "\$what"/],
    [{ spec: { containers: [{ image: "x" }] } }, /spec.containers: an entry of the patch has no name/],
  ])("%j is refused", (patch, message) => {
    expect(() => strategicMerge({}, patch)).toThrow(message);
  });
});

describe("JSON patches", () => {
  const live = { kind: "Pod", metadata: { labels: { a: "1" } }, spec: { containers: [{ name: "a" }, { name: "b" }] } };
  test.each([
    [
      [{ op: "add", path: "/spec/containers/-", value: { name: "c" } }],
      { spec: { containers: [{ name: "a" }, { name: "b" }, { name: "c" }] } },
    ],
    [[{ op: "remove", path: "/spec/containers/0" }], { spec: { containers: [{ name: "b" }] } }],
    [[{ op: "replace", path: "/metadata/labels/a", value: null }], { metadata: { labels: { a: null } } }],
    [
      [{ op: "move", from: "/metadata/labels/a", path: "/metadata/labels/x~1y" }],
      { metadata: { labels: { "x/y": "1" } } },
    ],
    [
      [{ op: "copy", from: "/spec/containers/0", path: "/spec/containers/0" }],
      { spec: { containers: [{ name: "a" }, { name: "a" }, { name: "b" }] } },
    ],
    [[{ op: "test", path: "/metadata/labels/a", value: "1" }], live],
  ])("%j", (patch, result) => {
    expect(jsonPatch(live, patch)).toEqual({ ...live, ...result });
  });

  test.each([
    ["usage", { op: "add", path: "/a", value: 1 }],
    ["usage", [{ op: "jump", path: "/a" }]],
    ["usage", [{ op: "add", path: "a", value: 1 }]],
    ["usage", [{ op: "add", path: "/a" }]],
    ["usage", [{ op: "add", path: "/__proto__/polluted", value: 1 }]],
    ["usage", [{ op: "add", path: "/constructor/prototype/polluted", value: 1 }]],
    ["usage", [{ op: "copy", from: "/__proto__", path: "/a" }]],
    ["usage", Array.from({ length: 10_001 }, () => ({ op: "test", path: "/kind", value: "Pod" }))],
    ["invalid-manifest", [{ op: "test", path: "/kind", value: "Node" }]],
    ["invalid-manifest", [{ op: "remove", path: "/spec/none" }]],
    ["invalid-manifest", [{ op: "remove", path: "/spec/containers/length" }]],
    ["invalid-manifest", [{ op: "add", path: "/spec/containers/9", value: {} }]],
    ["invalid-manifest", [{ op: "add", path: "/spec/containers/01", value: {} }]],
    ["invalid-manifest", [{ op: "add", path: "/kind/x", value: 1 }]],
    ["invalid-manifest", [{ op: "add", path: "/toString/call", value: 1 }]],
    ["invalid-manifest", [{ op: "replace", path: "/hasOwnProperty/call", value: 1 }]],
    ["invalid-manifest", [{ op: "copy", from: "/toString", path: "/a" }]],
  ])("%s: %j", (code, patch) => {
    expect(() => jsonPatch(live, patch)).toThrow(expect.objectContaining({ code }));
    expect(Object.hasOwn(Object.prototype.toString, "call")).toBe(false);
  });

  test("copies that double what is there each time are stopped", () => {
    const bomb = Array.from({ length: 60 }, (_, at) => ({ op: "copy", from: "/metadata", path: `/metadata/x${at}` }));
    expect(() => jsonPatch(live, bomb)).toThrow(
      /the copies of the patch are larger|nested more than|more than 100000 values/,
    );
    const wide = [{ op: "add", path: "/spec/containers/-", value: "x".repeat(1_000_000) }];
    const copies = Array.from({ length: 10 }, () => ({
      op: "copy",
      from: "/spec/containers/2",
      path: "/spec/containers/-",
    }));
    expect(() => jsonPatch(live, [...wide, ...copies])).toThrow(/the copies of the patch are larger/);
  });

  test("what comes out deeper than any manifest is refused", () => {
    const deeper = [
      { op: "add", path: "/a", value: nested(90) },
      { op: "add", path: `/a${"/a".repeat(89)}`, value: nested(90) },
    ];
    expect(() => jsonPatch({}, deeper)).toThrow(/nested more than 100 levels deep/);
  });
});

test("__proto__ is a field like any other, and no patch reaches what all objects share", () => {
  const results = [
    mergePatch({}, HOSTILE),
    strategicMerge({}, HOSTILE),
    serverSideApply({ live: {}, applied: HOSTILE, managers: [], manager: "a", force: false, time: "" }),
  ];
  for (const result of results) {
    expect(JSON.stringify(result)).toContain('"__proto__":{"polluted":1}');
    expect(Object.getPrototypeOf(result)).toBe(Object.prototype);
  }
  expect(Reflect.get({}, "polluted")).toBeUndefined();
});

describe("server-side apply", () => {
  const time = "2026-01-01T00:00:00Z";
  const deployment = (spec: object): Fields => ({
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { name: "web" },
    spec,
  });
  const pod = (...containers: object[]): Fields => ({
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: "web" },
    spec: { containers },
  });
  const apply = (live: unknown, manager: string, applied: Fields, managers: readonly Fields[] = [], force = false) =>
    serverSideApply({ live, applied, managers, manager, force, time });
  const done = (outcome: ReturnType<typeof apply>) => {
    if (!("object" in outcome)) throw new Error(`conflicts: ${JSON.stringify(outcome.conflicts)}`);
    return outcome;
  };

  test("sets, and takes away what it set before and no longer says", () => {
    const first = done(apply(undefined, "a", deployment({ replicas: 2, paused: true })));
    expect(first.managers).toMatchObject([
      { manager: "a", operation: "Apply", fieldsV1: { "f:spec": { "f:replicas": {}, "f:paused": {} } } },
    ]);
    const second = done(apply(first.object, "a", deployment({ replicas: 3 }), first.managers));
    expect(second.object).toEqual(deployment({ replicas: 3 }));
  });

  test("the same again changes nothing, not even the time", () => {
    const first = done(apply(undefined, "a", deployment({ replicas: 2 })));
    const both = done(apply(first.object, "b", deployment({ paused: true }), first.managers));
    const again = serverSideApply({
      ...{ live: both.object, applied: deployment({ replicas: 2 }), managers: both.managers },
      ...{ manager: "a", force: false, time: "2027-01-01T00:00:00Z" },
    });
    expect(again).toEqual(both);
  });

  test("another's value is a conflict, unless it is the same, or forced", () => {
    const first = done(apply(undefined, "a", deployment({ replicas: 2 })));
    expect(apply(first.object, "b", deployment({ replicas: 3 }), first.managers)).toEqual({
      conflicts: [{ manager: "a", field: ".spec.replicas" }],
    });
    const shared = done(apply(first.object, "b", deployment({ replicas: 2 }), first.managers));
    expect(shared.managers.map(({ manager }) => manager)).toEqual(["a", "b"]);
    const forced = done(apply(first.object, "b", deployment({ replicas: 3 }), first.managers, true));
    expect(forced.object).toEqual(deployment({ replicas: 3 }));
    expect(forced.managers.map(({ manager }) => manager)).toEqual(["b"]);
  });

  test("what another owns as well stays when one lets it go", () => {
    const first = done(apply(undefined, "a", deployment({ replicas: 2, paused: true })));
    const shared = done(apply(first.object, "b", deployment({ replicas: 2 }), first.managers));
    const left = done(apply(shared.object, "a", deployment({ paused: true }), shared.managers));
    expect(left.object).toEqual(deployment({ replicas: 2, paused: true }));
  });

  test("an entry goes when nobody has anything in it, and keeps its name otherwise", () => {
    const both = done(apply(undefined, "a", pod({ name: "x", image: "1" }, { name: "y", image: "1" })));
    const one = done(apply(both.object, "a", pod({ name: "x", image: "1" }), both.managers));
    expect(one.object).toEqual(pod({ name: "x", image: "1" }));
    const changed = pod({ name: "x", image: "1" }, { name: "y", image: "2" });
    const managers = afterUpdate(both.managers, both.object, changed, "kubectl-set", time);
    expect(managers[1]).toMatchObject({ operation: "Update", manager: "kubectl-set" });
    const kept = done(apply(changed, "a", pod({ name: "x", image: "1" }), managers));
    expect(kept.object).toEqual(changed);
    const conflict = apply(changed, "a", pod({ name: "x", image: "1" }, { name: "y", image: "3" }), managers);
    expect(conflict).toEqual({
      conflicts: [{ manager: "kubectl-set", field: '.spec.containers[name="y"].image' }],
    });
  });

  test("a change that is no apply takes over what it changes, and lets go of what it removes", () => {
    const first = done(apply(undefined, "a", deployment({ replicas: 2, paused: true })));
    const after = deployment({ replicas: 5 });
    expect(afterUpdate(first.managers, first.object, after, "kubectl-scale", time)).toMatchObject([
      { manager: "kubectl-scale", operation: "Update", fieldsV1: { "f:spec": { "f:replicas": {} } } },
    ]);
    expect(afterUpdate(first.managers, first.object, first.object as Fields, "x", time)).toBe(first.managers);
  });
});
