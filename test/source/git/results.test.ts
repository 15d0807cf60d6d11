import { renameSync } from "node:fs";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { SyncResult } from "../../../src/notify/index.ts";
import type { PodFact } from "../../../src/source/git/index.ts";
import { Lab, pod, podFact, refusal } from "./lab.ts";

let lab: Lab;
beforeEach(() => {
  lab = new Lab();
});
afterEach(() => lab.close());

test("who wants to know is told how each revision came out, and when the remote can't be fetched", async () => {
  const results: SyncResult[] = [];
  const since = (): Partial<SyncResult>[] => results.splice(0).map(({ at: _at, url: _url, ...rest }) => rest);
  const origin = lab.repository();
  const one = origin.write("web.yaml", pod("web")).commit("One");
  const { source, pods, hooks } = await lab.source(
    { url: origin.path },
    { onResult: (result) => results.push(result) },
  );

  const becomes = (fact: Partial<PodFact>): void => {
    hooks.onLook = () => {
      pods[0] = podFact("web", fact);
      hooks.onLook = () => {};
    };
  };
  becomes({ readySince: undefined, health: "Progressing" });
  await source.sync();
  expect(since()).toMatchObject([
    { source: "pods", outcome: "progressing", revision: one, running: one, ref: "the default branch" },
  ]);
  pods[0] = podFact("web");
  await source.sync(); // nothing new, nothing told
  source.podsChanged();
  await expect.poll(() => results.length).toBe(1);
  expect(since()).toMatchObject([{ outcome: "synced", revision: one, author: "Ada Lovelace <ada@example.com>" }]);

  const two = origin.write("web.yaml", "kind: Pod\n").commit("Broken");
  await refusal(source.sync());
  await refusal(source.sync()); // told once
  expect(since()).toMatchObject([
    { outcome: "refused", revision: two, running: one, message: expect.stringContaining("git:pods/web.yaml:1") },
  ]);

  renameSync(origin.path, `${origin.path}.away`);
  await refusal(source.sync());
  await refusal(source.sync());
  expect(since()).toMatchObject([{ outcome: "failed", revision: undefined, running: one }]);
  renameSync(`${origin.path}.away`, origin.path);
  await refusal(source.sync());
  expect(since()).toMatchObject([{ outcome: "refused", revision: two, running: one }]);

  const three = origin.write("web.yaml", pod("web", { image: "busybox:2" })).commit("Never ready");
  becomes({ version: "2", final: true, readySince: undefined, health: "Degraded", message: "no" });
  await source.sync();
  expect(since()).toMatchObject([
    { outcome: "progressing", revision: three, running: three },
    { outcome: "rolled-back", revision: three, running: one, message: expect.stringContaining("did not become ready") },
  ]);
});
