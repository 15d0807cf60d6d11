import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { ManualClock } from "../support/manual-clock.ts";
import { type Served, serve, until } from "./fake-backend.ts";
import { type Lines, watchLines } from "./watch-lines.ts";

let served: Served;
let clock: ManualClock;
const open: Lines[] = [];
beforeEach(async () => {
  clock = new ManualClock();
  served = await serve({ clock });
  served.backend.put("web");
});
afterEach(async () => {
  for (const watch of open.splice(0)) watch.stop();
  await served.close();
});

function watch(query: string, accept?: string): Lines {
  const lines = watchLines(served.socketPath, `/api/v1/pods?watch=true&${query}`, accept);
  open.push(lines);
  return lines;
}
const types = ({ lines }: Lines): string[] =>
  lines.map(({ type, object }) => `${type} ${object.metadata.resourceVersion}`);

describe("bookmarks", () => {
  test("come once a minute, with the version that has been seen", async () => {
    const asked = watch("allowWatchBookmarks=true");
    const silent = watch("");
    await until(() => asked.lines.length === 1 && silent.lines.length === 1, "the first pod");
    clock.advance(59_999);
    clock.advance(1);
    await until(() => asked.lines.length === 2, "a bookmark");
    expect(asked.lines[1]).toEqual({
      type: "BOOKMARK",
      object: { kind: "Pod", apiVersion: "v1", metadata: { resourceVersion: "101", creationTimestamp: null } },
    });
    served.backend.put("db");
    clock.advance(60_000);
    await until(() => asked.lines.length === 4 && silent.lines.length === 2, "the change, and a bookmark");
    expect(types(asked)).toEqual(["ADDED 101", "BOOKMARK 101", "ADDED 102", "BOOKMARK 102"]);
    expect(types(silent)).toEqual(["ADDED 101", "ADDED 102"]);
  });

  test("tell of versions that a selector leaves out", async () => {
    const lines = watch("allowWatchBookmarks=true&labelSelector=app%3Dx&resourceVersion=101");
    served.backend.put("other");
    await until(() => {
      clock.advance(60_000);
      return lines.lines.length > 0;
    }, "a bookmark");
    expect(types(lines)[0]).toBe("BOOKMARK 102");
  });

  test("come before the end of a watch that ends by itself", async () => {
    const asked = watch("allowWatchBookmarks=true&timeoutSeconds=30");
    const silent = watch("timeoutSeconds=30");
    await until(() => asked.lines.length === 1 && silent.lines.length === 1, "the first pod");
    clock.advance(30_000);
    await until(() => asked.ended && silent.ended, "the end");
    expect(types(asked)).toEqual(["ADDED 101", "BOOKMARK 101"]);
    expect(types(silent)).toEqual(["ADDED 101"]);
  });

  test.each([
    ["application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io", "PartialObjectMetadata"],
    ["application/json;as=Table;v=v1;g=meta.k8s.io", "Table"],
  ])("are of the form that is asked for: %s", async (accept, kind) => {
    const lines = watch("allowWatchBookmarks=true", accept);
    await until(() => lines.lines.length === 1, "the first pod");
    clock.advance(60_000);
    await until(() => lines.lines.length === 2, "a bookmark");
    expect(lines.lines.map(({ object }) => [object.kind, object.apiVersion])).toEqual([
      [kind, "meta.k8s.io/v1"],
      [kind, "meta.k8s.io/v1"],
    ]);
    expect(lines.lines[1]?.object.metadata).toMatchObject({ resourceVersion: "101" });
  });
});

describe("a list at the beginning of a watch", () => {
  const MATCH = "resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true";

  test("ends with a bookmark that says so", async () => {
    const lines = watch(`sendInitialEvents=true&${MATCH}`);
    await until(() => lines.lines.length === 2, "the bookmark");
    expect(types(lines)).toEqual(["ADDED 101", "BOOKMARK 101"]);
    expect(lines.lines[1]?.object.metadata.annotations).toEqual({ "k8s.io/initial-events-end": "true" });
    served.backend.put("db");
    await until(() => lines.lines.length === 3, "what comes after it");
  });

  test("is left out for who wants none", async () => {
    const lines = watch(`sendInitialEvents=false&${MATCH}`);
    clock.advance(0);
    await until(() => {
      served.backend.put("db");
      return lines.lines.length > 0;
    }, "a change");
    expect(lines.lines.every(({ object }) => object.metadata.name === "db")).toBe(true);
  });
});
