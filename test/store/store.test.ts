import { mkdirSync, mkdtempSync, readdirSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { ContainerFacts, NewEvent, PodFacts } from "../../src/store/index.ts";
import { openStore } from "../../src/store/index.ts";

const pod: PodFacts = {
  uid: "u1",
  namespace: "default",
  name: "web",
  createdAt: 1,
  sandboxAttempt: 2,
  deletionDeadline: undefined,
  failure: { reason: "DeadlineExceeded", message: "took too long" },
};

const container: ContainerFacts = {
  podUid: "u1",
  name: "app",
  specHash: "h",
  attempt: 3,
  restartCount: 2,
  backoffLevel: 1,
  backoffUntil: 99,
  previousExit: undefined,
  checks: undefined,
  lastExit: {
    containerId: "c",
    attempt: 2,
    exitCode: 137,
    reason: "OOMKilled",
    message: undefined,
    startedAt: 5,
    finishedAt: 6,
    logPath: "/x/2.log",
    imageDigest: "sha256:1",
  },
};

const event: NewEvent = {
  object: "Pod/default/web",
  podUid: "u1",
  type: "Normal",
  reason: "Started",
  message: "m",
  at: 10,
};

describe("the state store", () => {
  let dir: string;
  let path: string;

  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), "gantry-store-"));
    path = join(dir, "lib", "state.db");
  });
  afterEach(() => rmSync(dir, { recursive: true, force: true }));

  it("gives back what was put in, also after it was opened anew without being closed", () => {
    const { store } = openStore(path);
    store.pods.put(pod);
    store.containers.put(container);
    store.lastGood.put("folder", "a.yaml", "kind: Pod");
    const { store: again } = openStore(path);
    expect(again.pods.list()).toEqual([pod]);
    expect(again.containers.list("u1")).toEqual([container]);
    expect(again.lastGood.list("folder")).toEqual([{ file: "a.yaml", text: "kind: Pod" }]);
    store.close();
    again.close();
  });

  it("removes a pod together with its containers", () => {
    const { store } = openStore(path);
    store.pods.put(pod);
    store.containers.put(container);
    store.pods.remove("u1");
    expect(store.pods.list()).toEqual([]);
    expect(store.containers.list("u1")).toEqual([]);
    store.close();
  });

  it("counts an event that repeats, and prunes the oldest", () => {
    const { store } = openStore(path);
    store.events.add(event);
    expect(store.events.add({ ...event, at: 20 })).toMatchObject({ count: 2, firstAt: 10, at: 20 });
    store.events.add({ ...event, reason: "Killing" });
    expect(store.events.add(event)).toMatchObject({ count: 1 });
    expect(store.events.list({ object: "Pod/default/web" })).toHaveLength(3);
    store.events.prune(1);
    expect(store.events.list().map(({ reason }) => reason)).toEqual(["Started"]);
    store.close();
  });

  it.each([
    ["garbage", (file: string) => writeFileSync(file, "this is no database, it is a text of some length".repeat(100))],
    ["cut short", (file: string) => truncateSync(file, 5000)],
    [
      "another program's tables",
      (file: string) => {
        rmSync(file);
        const { store } = openStore(file);
        store.close();
        writeFileSync(file, Buffer.alloc(4096, 1));
      },
    ],
  ])("sets a damaged file aside and goes on: %s", (_what, damage) => {
    const { store } = openStore(path);
    store.pods.put(pod);
    store.close();
    damage(path);
    const { store: fresh, notice } = openStore(path);
    expect(notice).toContain("damaged");
    expect(fresh.pods.list()).toEqual([]);
    fresh.pods.put(pod);
    fresh.close();
    expect(readdirSync(join(dir, "lib")).some((name) => name.startsWith("state.db.damaged-"))).toBe(true);
  });

  it("says what to do when the file is from a newer Gantry or its place can't be written", async () => {
    const { DatabaseSync } = await import("node:sqlite");
    mkdirSync(join(dir, "lib"));
    const newer = new DatabaseSync(path);
    newer.exec("PRAGMA user_version = 99");
    newer.close();
    expect(() => openStore(path)).toThrow(/newer Gantry/);
    writeFileSync(join(dir, "file"), "");
    expect(() => openStore(join(dir, "file", "state.db"))).toThrow(/cannot use/);
  });
});
