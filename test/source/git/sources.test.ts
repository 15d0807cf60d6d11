import { mkdirSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { GitSources } from "../../../src/source/git/index.ts";
import { removeSpecFile, specFolder, writeSpecFile } from "../../../src/source/git/spec-files.ts";
import type { Source } from "../../../src/source/index.ts";
import { identities, Lab, pod } from "./lab.ts";

let lab: Lab;
const ends: (() => Promise<unknown>)[] = [];
beforeEach(() => {
  lab = new Lab();
});
afterEach(async () => {
  await Promise.all(ends.splice(0).map((end) => end()));
  await lab.close();
});

/** All sources of one daemon, and what the reconciler reads. */
function daemon(etc: string) {
  const attached = new Map<string, Source>();
  const all = new GitSources({
    ...lab.ports(),
    etc,
    configured: [],
    attach: async (source) => {
      await source.start(() => {});
      attached.set(source.name, source);
    },
    detach: async (source) => {
      if (attached.get(source.name) === source) attached.delete(source.name);
      await source.stop();
    },
  });
  const stop = () => Promise.all([...attached.values()].map((source) => source.stop()));
  ends.push(stop);
  return { all, attached, stop };
}

test("a source whose file can't be read after a restart is held: nothing of it counts as gone", async () => {
  const etc = join(lab.path, "etc");
  const origin = lab.repository();
  origin.write("web.yaml", pod("web")).commit();
  const file = await writeSpecFile(etc, { name: "infra", url: origin.path, intervalSeconds: 86_400 });
  const first = daemon(etc);
  await first.all.reload();
  await first.all.sync("infra", {});
  // While the daemon runs, it goes on as it is; also when the whole folder is gone for a moment.
  renameSync(specFolder(etc), `${specFolder(etc)}.away`);
  writeFileSync(specFolder(etc), "no folder");
  await first.all.reload();
  expect(first.all.list().map(({ name }) => name)).toEqual(["infra"]);
  await first.stop();

  const second = daemon(etc);
  await second.all.reload();
  expect((await second.attached.get("git infra")?.read())?.held).toContain("nothing is removed");
  renameSync(specFolder(etc), `${specFolder(etc)}.file`);
  renameSync(`${specFolder(etc)}.away`, specFolder(etc));
  writeFileSync(file, "name: infra\nurl: [\n");
  await second.all.reload();
  expect((await second.attached.get("git infra")?.read())?.held).toContain("nothing is removed");
  await writeSpecFile(etc, { name: "infra", url: origin.path, intervalSeconds: 86_400 });
  await second.all.reload();
  const state = await second.attached.get("git infra")?.read();
  expect([state?.held, state && identities(state)]).toEqual([undefined, ["Pod default/web"]]);
  await second.stop();

  // One that is taken away while it is held is let go of.
  writeFileSync(file, "name: infra\nurl: [\n");
  const third = daemon(etc);
  await third.all.reload();
  expect([...third.attached.keys()]).toEqual(["git infra"]);
  await removeSpecFile(etc, "infra");
  mkdirSync(specFolder(etc), { recursive: true });
  await third.all.reload();
  expect([...third.attached.keys()]).toEqual([]);
  expect(lab.store.list()).toEqual([]);
});
