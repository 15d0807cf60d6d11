import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { type StandbyPorts, Standbys, type Waiting } from "../../../src/sandbox/microvm/standby/pool.ts";
import { silentLogger } from "../../../src/system/log.ts";

type Request = { readonly key: string };

const QUIET_MS = 1000;

/** A pool of VMs that are only names. */
function pool(options: Partial<StandbyPorts<Request, Waiting>> = {}) {
  const built: string[] = [];
  const destroyed: string[] = [];
  const dead = new Set<string>();
  const all = new Standbys<Request, Waiting>({
    keep: 1,
    quietMs: QUIET_MS,
    log: silentLogger(),
    build: async ({ key }) => {
      const id = `${key}-${built.length}`;
      built.push(id);
      return { key, id };
    },
    destroy: async ({ id }) => void destroyed.push(id),
    isAlive: ({ id }) => !dead.has(id),
    ...options,
  });
  const start = async (key: string): Promise<string | undefined> =>
    await all.during(async () => {
      const vm = all.take(key);
      all.want({ key });
      return vm?.id;
    });
  return { all, built, destroyed, dead, start };
}

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

test("one is made once nothing has started for a while, and is taken once", async () => {
  const { all, built, start } = pool();
  expect(await start("a")).toBeUndefined();
  await vi.advanceTimersByTimeAsync(QUIET_MS - 1);
  expect(built).toEqual([]);
  await vi.advanceTimersByTimeAsync(1);
  expect([...all.ids]).toEqual(["a-0"]);
  expect(all.take("b")).toBeUndefined();
  expect(all.take("a")?.id).toBe("a-0");
  expect(all.take("a")).toBeUndefined();
});

test("while pods start, none is made", async () => {
  const { all, built, start } = pool();
  const slow = Promise.withResolvers<void>();
  const other = all.during(() => slow.promise);
  await start("a");
  await vi.advanceTimersByTimeAsync(10 * QUIET_MS);
  expect(built).toEqual([]);
  slow.resolve();
  await other;
  await vi.advanceTimersByTimeAsync(QUIET_MS);
  expect(built).toEqual(["a-0"]);
});

test("only so many are kept, of the kinds that were used last", async () => {
  const { all, destroyed, start } = pool({ keep: 2 });
  for (const key of ["a", "b", "c"]) {
    await start(key);
    await vi.advanceTimersByTimeAsync(QUIET_MS);
  }
  expect([...all.ids]).toEqual(["b-1", "c-2"]);
  expect(destroyed).toEqual(["a-0"]);
});

test("one that has died is not given out, and another is made", async () => {
  const { all, dead, destroyed, start } = pool();
  await start("a");
  await vi.advanceTimersByTimeAsync(QUIET_MS);
  dead.add("a-0");
  expect(await start("a")).toBeUndefined();
  expect(destroyed).toEqual(["a-0"]);
  await vi.advanceTimersByTimeAsync(QUIET_MS);
  expect([...all.ids]).toEqual(["a-1"]);
});

test("a failure is not tried again for a while, and none is kept where none is wanted", async () => {
  let tries = 0;
  const build = (): Promise<Waiting> => {
    tries++;
    return Promise.reject(new Error("no"));
  };
  const { start } = pool({ build });
  for (const key of ["a", "a"]) {
    await start(key);
    await vi.advanceTimersByTimeAsync(QUIET_MS);
  }
  expect(tries).toBe(1);
  const none = pool({ keep: 0 });
  await none.start("a");
  await vi.advanceTimersByTimeAsync(QUIET_MS);
  expect(none.built).toEqual([]);
});

test("at the end all go, and what is being made is called off", async () => {
  const { all, destroyed, start } = pool();
  await start("a");
  await vi.advanceTimersByTimeAsync(QUIET_MS);
  await all.close();
  expect(destroyed).toEqual(["a-0"]);
  const begun = Promise.withResolvers<void>();
  const build: StandbyPorts<Request, Waiting>["build"] = (_, signal) =>
    new Promise((_resolve, reject) => {
      signal.addEventListener("abort", () => reject(new Error("called off")));
      begun.resolve();
    });
  const second = pool({ build });
  await second.start("a");
  await vi.advanceTimersByTimeAsync(QUIET_MS);
  await begun.promise;
  await second.all.close();
  expect([...second.all.ids]).toEqual([]);
});
