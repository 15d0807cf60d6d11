import { expect, test } from "vitest";
import { KeyedMutex } from "../../src/system/keyed-mutex.ts";

test("work on one key runs in order, on others at once, and a failure holds nobody up", async () => {
  const mutex = new KeyedMutex();
  const events: string[] = [];
  const gate = Promise.withResolvers<void>();
  const first = mutex.run("a", async () => {
    events.push("a1 begins");
    await gate.promise;
    events.push("a1 ends");
    throw new Error("a1 failed");
  });
  const second = mutex.run("a", async () => events.push("a2"));
  await mutex.run("b", async () => events.push("b"));
  gate.resolve();
  await expect(first).rejects.toThrow("a1 failed");
  await second;
  expect(events).toEqual(["a1 begins", "b", "a1 ends", "a2"]);
});
