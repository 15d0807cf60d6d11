import { expect, test } from "vitest";
import { pace } from "../../src/reconcile/pace.ts";

test("the first call runs at once, those that come while one waits share one run", async () => {
  let count = 0;
  const run = pace(async () => {
    count++;
    const until = performance.now() + 20;
    while (performance.now() < until); // takes the event loop for itself
  });
  const first = run();
  expect(count).toBe(1);
  await first;
  await Promise.all(Array.from({ length: 100 }, () => run()));
  expect(count).toBe(2);
});

test("a run that fails tells its callers and does not stop the next", async () => {
  let count = 0;
  const run = pace(async () => {
    count++;
    if (count === 1) throw new Error("no");
  });
  await expect(run()).rejects.toThrow("no");
  await run();
  expect(count).toBe(2);
});
