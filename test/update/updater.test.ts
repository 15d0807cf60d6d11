import { beforeEach, describe, expect, test } from "vitest";
import type { Image } from "../../src/image/contract.ts";
import type { ContainerState, PodState } from "../../src/pod/contract.ts";
import { openStore, type StateStore } from "../../src/store/index.ts";
import { GantryError } from "../../src/system/errors.ts";
import { silentLogger } from "../../src/system/log.ts";
import {
  AUTO_UPDATE_ANNOTATION,
  annotationProblems,
  createUpdater,
  DEADLINE_ANNOTATION,
  type Updater,
} from "../../src/update/index.ts";
import { ManualClock } from "../support/manual-clock.ts";

/** Pods, registries and time by hand. */
let clock: ManualClock;
let store: StateStore;
let pods: PodState[];
let registry: Record<string, string>;
let restarts: string[];
let events: string[];
let updater: Updater;

beforeEach(() => {
  clock = new ManualClock();
  ({ store } = openStore(":memory:"));
  pods = [];
  registry = { "reg.example.com/app:1": "sha256:old" };
  restarts = [];
  events = [];
  updater = open();
});

function open(): Updater {
  return createUpdater({
    supervisor: {
      list: () => pods,
      restart: (uid, container) => void restarts.push(`${uid} ${container}`),
    },
    images: {
      pull: async (name) => {
        const digest = registry[name];
        if (digest === undefined) throw new GantryError("image-missing", "no such image", { hint: "Look." });
        return { digest } as Image;
      },
    },
    store,
    secret: () => undefined,
    isWanted: (key) => pods.some(({ desired }) => desired.key === key),
    event: ({ desired }, type, reason, message) => void events.push(`${desired.key} ${type} ${reason}: ${message}`),
    onChange: () => undefined,
    clock,
    log: silentLogger(),
    intervalMs: 60_000,
    deadlineMs: 30_000,
    settleMs: 5000,
  });
}

function pod(
  name: string,
  more: Partial<ContainerState> = {},
  annotations: Record<string, string> = { [AUTO_UPDATE_ANNOTATION]: "registry" },
): PodState {
  const container: ContainerState = {
    name: "app",
    kind: "main",
    image: "reg.example.com/app:1",
    imageDigest: "sha256:old",
    signers: [],
    restartCount: 0,
    ready: true,
    started: true,
    state: { type: "running", containerId: "c", startedAt: clock.now() - 60_000 },
    lastTermination: undefined,
    ...more,
  };
  return {
    uid: name,
    desired: {
      key: `default/${name}`,
      pod: { metadata: { name, namespace: "default", annotations }, spec: { containers: [] } },
    } as unknown as PodState["desired"],
    createdAt: 0,
    stage: "running",
    problem: undefined,
    failure: undefined,
    deletionDeadline: undefined,
    sandbox: undefined,
    containers: [container],
  };
}

/** The pod's container as it would be after a start with this image. */
function started(name: string, imageDigest: string, ready = true): void {
  pods = pods.map((one) =>
    one.uid === name
      ? pod(name, { imageDigest, ready, state: { type: "running", containerId: "d", startedAt: clock.now() } })
      : one,
  );
}

/** Lets what is waiting for promises get on. */
async function turn(): Promise<void> {
  for (let step = 0; step < 20; step++) await Promise.resolve();
}

async function pass(ms: number): Promise<void> {
  for (let at = 0; at < ms; at += 1000) {
    clock.advance(1000);
    await turn();
  }
}

test("nothing newer: nothing happens", async () => {
  pods = [pod("web"), pod("other", {}, {}), pod("off", {}, { [AUTO_UPDATE_ANNOTATION]: "disabled" })];
  await updater.look();
  registry["reg.example.com/app:1"] = "sha256:new";
  pods = pods.slice(1);
  await updater.look();
  expect([restarts, events]).toEqual([[], []]);
});

test("a newer image is rolled out, one pod after the other", async () => {
  pods = [pod("a"), pod("b")];
  registry["reg.example.com/app:1"] = "sha256:new";
  updater.start();
  const look = updater.look();
  await turn();
  expect(restarts).toEqual(["a app"]);
  expect(updater.notes("default/a")).toEqual([
    expect.stringMatching(/^container app: updating reg\.example\.com\/app:1 from old to new since /),
  ]);
  expect(updater.held()).toEqual(["sha256:old", "sha256:new"]);
  expect(updater.pinned("default/a", "app", "reg.example.com/app:1")).toBeUndefined();
  started("a", "sha256:new");
  await pass(3000);
  // Running is not enough: it must go on doing so.
  expect(restarts).toEqual(["a app"]);
  await pass(3000);
  expect(restarts).toEqual(["a app", "b app"]);
  started("b", "sha256:new");
  await pass(6000);
  await look;
  expect(updater.notes("default/a")).toEqual([]);
  expect(events.map((event) => event.split(":")[0])).toEqual([
    "default/a Normal AutoUpdate",
    "default/a Normal AutoUpdated",
    "default/b Normal AutoUpdate",
    "default/b Normal AutoUpdated",
  ]);
  await updater.close();
});

describe("an image that does not become ready", () => {
  const fail = async (): Promise<void> => {
    pods = [pod("web")];
    registry["reg.example.com/app:1"] = "sha256:bad";
    updater.start();
    const look = updater.look();
    await turn();
    started("web", "sha256:bad", false);
    await pass(31_000);
    await look;
  };

  test("is rolled back at its deadline, and not tried again", async () => {
    await fail();
    expect(restarts).toEqual(["web app", "web app"]);
    expect(events.at(-1)).toMatch(
      /Warning AutoUpdateRolledBack: The new reg\.example\.com\/app:1 \(bad\) did not become ready within 30 s: container app goes back to old/,
    );
    expect(updater.pinned("default/web", "app", "reg.example.com/app:1")).toBe("sha256:old");
    expect(updater.notes("default/web")).toEqual([
      expect.stringMatching(/was rolled back to old at .*, as bad did not become ready within 30 s$/),
    ]);
    started("web", "sha256:old");
    await updater.look();
    expect(restarts).toHaveLength(2);
  });

  test("gives way to the next one, which is rolled from the image before", async () => {
    await fail();
    started("web", "sha256:old");
    registry["reg.example.com/app:1"] = "sha256:better";
    const look = updater.look();
    await turn();
    expect(restarts).toHaveLength(3);
    expect(updater.pinned("default/web", "app", "reg.example.com/app:1")).toBeUndefined();
    started("web", "sha256:better");
    await pass(6000);
    await look;
    expect([updater.notes("default/web"), updater.held()]).toEqual([[], []]);
  });

  test("is forgotten when the registry goes back, the manifest names another image, asks no more, or is gone", async () => {
    await fail();
    started("web", "sha256:old");
    registry["reg.example.com/app:1"] = "sha256:old";
    await updater.look();
    expect(updater.notes("default/web")).toEqual([]);
    for (const change of [
      () => [pod("web", { image: "reg.example.com/app:2" })],
      () => [pod("web", {}, {})],
      () => [],
    ]) {
      await fail();
      registry["reg.example.com/app:2"] = "sha256:old";
      expect(updater.held()).not.toEqual([]);
      pods = change();
      await updater.look();
      expect(updater.held()).toEqual([]);
    }
  });

  test("that crashes again and again is never taken for ready", async () => {
    pods = [pod("web")];
    registry["reg.example.com/app:1"] = "sha256:bad";
    updater.start();
    const look = updater.look();
    await turn();
    for (let second = 0; second < 31; second += 3) {
      started("web", "sha256:bad");
      await pass(3000);
    }
    await look;
    expect(events.at(-1)).toContain("AutoUpdateRolledBack");
  });

  test("a daemon that starts meanwhile goes on with it", async () => {
    pods = [pod("web", {}, { [AUTO_UPDATE_ANNOTATION]: "registry", [DEADLINE_ANNOTATION]: "10" })];
    registry["reg.example.com/app:1"] = "sha256:bad";
    void updater.look();
    await turn();
    await updater.close();
    updater = open();
    updater.start();
    started("web", "sha256:bad", false);
    await pass(11_000);
    expect(events.at(-1)).toContain("did not become ready within 10 s");
    expect(open().pinned("default/web", "app", "reg.example.com/app:1")).toBe("sha256:old");
  });
});

test("a registry that fails, and images that can't move", async () => {
  pods = [
    pod("gone", { image: "reg.example.com/gone:1" }),
    pod("fixed", { image: `reg.example.com/x@sha256:${"a".repeat(64)}` }),
    pod("init", { kind: "init" }),
  ];
  registry["reg.example.com/app:1"] = "sha256:new";
  await updater.look();
  expect(events).toEqual([
    "default/gone Warning AutoUpdateFailed: Cannot look for a newer reg.example.com/gone:1: no such image. Look.",
  ]);
  expect(restarts).toEqual([]);
});

test("the annotations are checked", () => {
  const problems = (annotations: Record<string, string>): string[] =>
    annotationProblems(annotations).map(({ message }) => message);
  expect(problems({ [AUTO_UPDATE_ANNOTATION]: "registry", [DEADLINE_ANNOTATION]: "60" })).toEqual([]);
  expect(problems({ [AUTO_UPDATE_ANNOTATION]: "yes" })).toEqual(['must be registry or disabled, not "yes"']);
  expect(problems({ [DEADLINE_ANNOTATION]: "1m" })).toEqual(['must be a number of seconds from 1 to 3600, not "1m"']);
});
