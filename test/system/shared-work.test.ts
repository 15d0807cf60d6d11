import { describe, expect, test } from "vitest";
import { SharedWork } from "../../src/system/shared-work.ts";

const never = new AbortController().signal;

/** Work that ends when told to, or when it is called off. */
function controlled(shared: SharedWork<string, number>) {
  const { promise, resolve } = Promise.withResolvers<string>();
  const state = { begun: 0, calledOff: 0, report: (_: number): void => {} };
  const work = (signal: AbortSignal, report: (progress: number) => void): Promise<string> => {
    state.begun += 1;
    state.report = report;
    const { promise: aborted, reject } = Promise.withResolvers<string>();
    signal.addEventListener("abort", () => {
      state.calledOff += 1;
      reject(new Error("called off"));
    });
    return Promise.race([promise, aborted]);
  };
  const join = (signal = never, onProgress?: (progress: number) => void) => shared.run("key", work, signal, onProgress);
  return { state, resolve, join };
}

describe("shared work", () => {
  test("is done once for all who ask meanwhile, and each hears how far it is", async () => {
    const { state, resolve, join } = controlled(new SharedWork());
    const heard: number[] = [];
    const first = join();
    await Promise.resolve();
    state.report(1);
    const second = join(never, (progress) => heard.push(progress));
    state.report(2);
    resolve("done");
    expect(await Promise.all([first, second])).toEqual(["done", "done"]);
    expect([state.begun, heard]).toEqual([1, [1, 2]]);
  });

  test("goes on while one waits, also one that comes just after the last has left", async () => {
    const { state, resolve, join } = controlled(new SharedWork());
    const leaves = new AbortController();
    const first = join(leaves.signal);
    leaves.abort();
    await expect(first).rejects.toMatchObject({ code: "cancelled" });
    const second = join();
    resolve("done");
    expect(await second).toBe("done");
    expect(state).toMatchObject({ begun: 1, calledOff: 0 });
  });

  test("is called off when nobody waits any more, and on closing", async () => {
    const shared = new SharedWork<string, number>();
    const { state, join } = controlled(shared);
    const leaves = new AbortController();
    const first = join(leaves.signal);
    leaves.abort();
    await expect(first).rejects.toMatchObject({ code: "cancelled" });
    await shared.close();
    expect(state).toMatchObject({ begun: 1, calledOff: 1 });
    await expect(join(leaves.signal)).rejects.toMatchObject({ code: "cancelled" });
  });
});
