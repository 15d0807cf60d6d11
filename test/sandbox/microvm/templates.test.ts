import { mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { VmPlan } from "../../../src/sandbox/microvm/plan.ts";
import { isAbandoned, openStage } from "../../../src/sandbox/microvm/template/stage.ts";
import {
  type TemplateFacts,
  Templates,
  type TemplatesOptions,
} from "../../../src/sandbox/microvm/template/templates.ts";
import { silentLogger } from "../../../src/system/log.ts";

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "gantry-templates-"));
});
afterEach(() => rm(directory, { recursive: true, force: true }));

/** What a VM with so much memory is. */
function facts(memoryMiB: number): TemplateFacts {
  const jailer = { path: "/j", readOnlyMemory: "/r", preload: "/p" };
  const boot = { kernel: { id: "k", image: "/k" }, initramfs: "/i", jailer, hash: "1" };
  const shape = { memoryMiB, vcpus: 1, disks: 1, logPorts: 1 };
  const plan: VmPlan = { shape, machine: "q35", accelerator: "tcg", why: "", boot };
  return { plan, qemu: "/none", arguments: [] };
}

const MIB = 2 ** 20;

/** Templates whose memory takes a MiB each, without a VM. */
function templates(options: Partial<TemplatesOptions> = {}): { readonly all: Templates; readonly built: number[] } {
  const built: number[] = [];
  const build: TemplatesOptions["build"] = async (_, template, { plan }) => {
    built.push(plan.shape.memoryMiB);
    await writeFile(template.memory, Buffer.alloc(MIB, 1));
    await writeFile(template.state, "state");
  };
  const defaults = { directory, keep: 4, maxBytes: 100 * MIB, log: silentLogger(), build };
  return { all: new Templates({ ...defaults, ...options }), built };
}

test("one is built at first need, by one, and found afterwards", async () => {
  const { all, built } = templates();
  const [a, b] = await Promise.all([all.get(facts(128)), all.get(facts(128))]);
  expect(a).toEqual(b);
  expect(await all.get(facts(128))).toEqual(a);
  expect(built).toEqual([128]);
  expect(await templates().all.get(facts(128))).toEqual(a);
});

test("those longest unused go when there are too many, or when they take too much together", async () => {
  const { all, built } = templates({ keep: 2 });
  for (const size of [128, 256, 128, 512]) await all.get(facts(size));
  expect(await readdir(directory)).toHaveLength(2);
  await all.get(facts(128)); // was used after 256
  expect(built).toEqual([128, 256, 512]);
  const small = templates({ maxBytes: 2.5 * MIB });
  for (const size of [1024, 2048]) await small.all.get(facts(size));
  expect(await readdir(directory)).toHaveLength(2);
});

test("none is made where none is to be kept", async () => {
  const { all, built } = templates({ keep: 0 });
  expect(await all.get(facts(128))).toBeUndefined();
  expect(built).toEqual([]);
});

test("what is being built is called off at the end, and leaves nothing", async () => {
  const begun = Promise.withResolvers<void>();
  const { all } = templates({
    build: (_, __, ___, signal) =>
      new Promise((_resolve, reject) => {
        signal.addEventListener("abort", () => reject(new Error("called off")));
        begun.resolve();
      }),
  });
  const pending = all.get(facts(128));
  await begun.promise;
  await all.close();
  expect(await pending).toBeUndefined();
  expect(await readdir(directory)).toEqual([]);
});

test("a failure is not tried again for a while", async () => {
  let tries = 0;
  const { all } = templates({
    build: () => {
      tries++;
      return Promise.reject(new Error("no"));
    },
  });
  expect([await all.get(facts(128)), await all.get(facts(128))]).toEqual([undefined, undefined]);
  expect(tries).toBe(1);
});

test("what this or another living process builds is not abandoned", async () => {
  const stage = await openStage(directory);
  const [name = ""] = await readdir(directory);
  expect(isAbandoned(directory, name)).toBe(false);
  await stage[Symbol.asyncDispose]();
  // The same name again: of a process before us that had our number.
  await mkdir(join(directory, name));
  expect(isAbandoned(directory, name)).toBe(true);
  expect(isAbandoned(directory, ".new-1-abc")).toBe(false);
  expect(isAbandoned(directory, ".new-4194305-abc")).toBe(true);
  expect(isAbandoned(directory, ".memory-1-0123456789ab-0")).toBe(false);
  expect(isAbandoned(directory, ".memory-4194305-0123456789ab-0")).toBe(true);
  expect(isAbandoned(directory, "0123456789abcdef")).toBe(false);
});
