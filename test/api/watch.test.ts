import { request } from "node:http";
import { connect } from "node:net";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { PodObject } from "../../src/api/contract.ts";
import { parseFieldSelector } from "../../src/api/server/field-selector.ts";
import { matchesLabels, parseLabelSelector } from "../../src/api/server/label-selector.ts";
import type { WatchEvent } from "../../src/api/wire.ts";
import { type Served, serve, until } from "./fake-backend.ts";

let served: Served;
const stops: AbortController[] = [];
beforeEach(async () => {
  served = await serve({ watchCapacity: 20 });
});
afterEach(async () => {
  for (const stop of stops.splice(0)) stop.abort();
  await served.close();
});

/** Collects a watch in the background, as "TYPE name". */
function collect(options: Parameters<typeof served.client.watchPods>[0] = {}) {
  const stop = new AbortController();
  stops.push(stop);
  const seen: string[] = [];
  const run = async () => {
    const note = ({ type, object }: WatchEvent<PodObject>) => seen.push(`${type} ${object.metadata.name}`);
    for await (const event of served.client.watchPods({ ...options, signal: stop.signal })) note(event);
  };
  return { seen, stop, done: run() };
}

describe("a watch", () => {
  test("begins with what there is, then tells every change in order, and ends on abort", async () => {
    served.backend.put("a");
    served.backend.put("b");
    const { seen, stop, done } = collect();
    await until(() => seen.length === 2, "the initial events");
    served.backend.put("a");
    served.backend.put("c");
    served.backend.remove("b");
    await until(() => seen.length === 5, "the changes");
    expect(seen).toEqual(["ADDED a", "ADDED b", "MODIFIED a", "ADDED c", "DELETED b"]);
    stop.abort();
    await done;
  });

  test("goes on after a list without missing or doubling", async () => {
    served.backend.put("a");
    const { resourceVersion } = (await served.client.listPods()).metadata;
    served.backend.put("b");
    served.backend.remove("a");
    const { seen } = collect({ resourceVersion });
    await until(() => seen.length === 2, "both changes");
    expect(seen).toEqual(["ADDED b", "DELETED a"]);
  });

  test("with a selector: what begins to match is ADDED, what ceases to is DELETED", async () => {
    served.backend.put("a", { app: "x" });
    served.backend.put("b", { app: "y" });
    const { seen } = collect({ labelSelector: "app=x", namespace: "default" });
    await until(() => seen.length === 1, "the first");
    served.backend.put("b", { app: "x" });
    served.backend.put("a", { app: "y" });
    served.backend.put("a", { app: "z" });
    served.backend.put("c", { app: "x" }, "Running", "other");
    served.backend.remove("b");
    await until(() => seen.length === 4, "the rest");
    expect(seen).toEqual(["ADDED a", "ADDED b", "DELETED a", "DELETED b"]);
  });

  test("from a version that is too old is Expired", async () => {
    served.backend.put("a");
    const { resourceVersion } = (await served.client.listPods()).metadata;
    for (let i = 0; i < 40; i += 1) served.backend.put("a");
    const { done } = collect({ resourceVersion });
    await expect(done).rejects.toMatchObject({ code: "conflict", details: { reason: "Expired" } });
    const future = collect({ resourceVersion: "999999" });
    await expect(future.done).rejects.toMatchObject({ code: "conflict", details: { reason: "Expired" } });
  });

  test("ends in good order when the server closes", async () => {
    const { done } = collect();
    const events = (async () => {
      const seen: unknown[] = [];
      for await (const event of served.client.watchEvents()) seen.push(event);
      return seen;
    })();
    await until(async () => (await served.client.listPods()).items.length === 0, "the server");
    await served.close();
    await done;
    expect(await events).toEqual([]);
  });

  test("of events tells when one happens again", async () => {
    const stop = new AbortController();
    stops.push(stop);
    const seen: string[] = [];
    const options = { fieldSelector: "involvedObject.name=web", signal: stop.signal };
    const done = (async () => {
      for await (const { type, object } of served.client.watchEvents(options)) seen.push(`${type} ${object.count}`);
    })();
    served.backend.happen();
    await until(() => seen.length === 1, "the event");
    served.backend.happen({ id: 1, count: 2 });
    served.backend.happen({ object: "Node/host" });
    served.backend.happen({ id: 1, count: 3 });
    await until(() => seen.length === 3, "its repetition");
    expect(seen).toEqual(["ADDED 1", "MODIFIED 2", "MODIFIED 3"]);
    stop.abort();
    await done;
  });

  test("ends after timeoutSeconds; a bookmark ends the initial list for who asks", async () => {
    served.backend.put("a");
    const query =
      "watch=1&timeoutSeconds=0.05&sendInitialEvents=true&allowWatchBookmarks=true&resourceVersionMatch=NotOlderThan";
    const text = await new Promise<string>((resolve, reject) => {
      const path = `/api/v1/pods?${query}`;
      request({ socketPath: served.socketPath, path }, (response) => {
        let all = "";
        response.on("data", (chunk) => {
          all += chunk;
        });
        response.on("end", () => resolve(all));
        response.on("error", reject);
      }).end();
    });
    const [first, bookmark] = text
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(first).toMatchObject({ type: "ADDED", object: { kind: "Pod" } });
    expect(bookmark).toMatchObject({
      type: "BOOKMARK",
      object: { metadata: { resourceVersion: "101", annotations: { "k8s.io/initial-events-end": "true" } } },
    });
  });

  test("that nobody reads is cut off, and the others go on", async () => {
    const slow = connect(served.socketPath);
    slow.write("GET /api/v1/pods?watch=true HTTP/1.1\r\nhost: x\r\n\r\n");
    slow.pause();
    let closed = false;
    slow.on("close", () => {
      closed = true;
    });
    slow.on("error", () => {});
    const fast = collect();
    const big = { note: "x".repeat(60) };
    // More than the kernel's buffers hold, and more changes than are kept.
    for (let i = 0; i < 3000; i += 1) {
      served.backend.put(`pod-${i % 10}`, big);
      if (i % 10 === 0) await new Promise(setImmediate);
    }
    // Nothing is read; only that the other end has closed is looked for, by writing.
    await until(() => {
      slow.write("x");
      return closed;
    }, "the slow client to be cut off");
    expect(fast.seen.length).toBeGreaterThan(0);
  });

  test("200 watches all see 50 changes", async () => {
    const watches = Array.from({ length: 200 }, () => collect());
    await until(() => served.backend.podListeners.size === 1, "one subscription for all");
    served.backend.put("first");
    await until(() => watches.every(({ seen }) => seen.length >= 1), "all to have begun", 30_000);
    for (let i = 0; i < 10; i += 1) served.backend.put(`pod-${i}`);
    await until(() => watches.every(({ seen }) => seen.length === 11), "all changes everywhere", 30_000);
    expect(new Set(watches.map(({ seen }) => seen.join())).size).toBe(1);
  });
});

describe("selectors", () => {
  const labels = { app: "web", tier: "", "example.com/n": "5" };
  test.each([
    ["", true],
    ["app", true],
    ["!app", false],
    ["missing", false],
    ["!missing", true],
    ["app=web", true],
    ["app==web", true],
    ["app = web", true],
    ["app!=web", false],
    ["missing!=web", true],
    ["app in (db, web)", true],
    ["app in(db,web)", true],
    ["app notin (db,web)", false],
    ["missing notin (a)", true],
    ["tier=", true],
    ["tier in (,x)", true],
    ["app=web,tier", true],
    ["app=web,!tier", false],
    ["example.com/n>4", true],
    ["example.com/n<5", false],
    ["in in (in)", false],
  ])("'%s' → %s", (text, expected) => {
    expect(matchesLabels(parseLabelSelector(text), labels)).toBe(expected);
  });

  test.each([
    "=a",
    "a in",
    "a in b",
    "a in (b",
    "a=b=c",
    "a b",
    "a,,b",
    ",",
    "a,",
    "!",
    "!a=b",
    "a/b/c",
    "-a",
    "a=-b",
    "a>x",
    "ä",
  ])("'%s' is refused", (text) => {
    expect(() => parseLabelSelector(text)).toThrowError(expect.objectContaining({ code: "usage" }));
  });

  test("an object's inherited properties are no labels", () => {
    expect(matchesLabels(parseLabelSelector("constructor"), {})).toBe(false);
  });

  test("fields: escapes, and refusals", () => {
    const value = String.raw`a\,b\=c\\`;
    expect(parseFieldSelector(`metadata.name!=${value}`, ["metadata.name"])).toEqual([
      { field: "metadata.name", equal: false, value: "a,b=c\\" },
    ]);
    expect(parseFieldSelector("", [])).toEqual([]);
    for (const text of ["metadata.name", "x=1", "metadata.name=a=b", "=a"]) {
      expect(() => parseFieldSelector(text, ["metadata.name"])).toThrowError(
        expect.objectContaining({ code: "usage" }),
      );
    }
  });
});
