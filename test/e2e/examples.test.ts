import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type ExampleFile, readExamples } from "../support/examples.ts";
import { eventually, type PodView, RUNTIME_CLASSES, type TestHost, testHost } from "./harness.ts";

/** Every file of examples/ through one daemon: it does what its header says, on every runtime class. */
let host: TestHost;

describe.each(RUNTIME_CLASSES)("on %s", (runtimeClass) => {
  beforeAll(async () => {
    host = testHost({ runtimeClass });
    await host.startDaemon();
  });
  afterAll(() => host.dispose());

  for (const example of readExamples()) {
    const { microvm } = example;
    if (runtimeClass === "namespace" || microvm === undefined) works(example);
    else if ("refused" in microvm) isRefused(example, microvm.refused);
  }
});

function works(example: ExampleFile): void {
  test(`${example.name} ends up ${example.phase}`, async () => {
    if (example.profile !== undefined) writeProfile(example.profile);
    host.write(example.name, example.text);
    expect(example.pods.length + example.keepers.length).toBeGreaterThan(0);
    for (const name of example.pods) {
      const pod = await host.waitFor(name, (seen) => accepts(example, seen), `what ${example.name} expects`);
      if (example.log !== undefined) await waitForLog(name, pod, example.log);
    }
    for (const keeper of example.keepers) {
      const pod = await waitForAny(`${keeper}-`, example);
      if (example.log !== undefined) await waitForLog(pod.metadata.name, pod, example.log);
    }
    if (example.http !== undefined) await waitForHttp(example.http);
    for (const name of example.pods) {
      // Not in their grace: half of them sleep and never notice TERM.
      expect(await host.gantry("delete", name, "--grace-period", "0")).toMatchObject({ code: 0, stderr: "" });
      expect((await host.pods()).filter(({ metadata }) => metadata.name === name)).toEqual([]);
    }
    if (example.keepers.length > 0) {
      host.remove(example.name);
      const gone = async (): Promise<boolean> =>
        (await host.pods()).every(
          ({ metadata }) => !example.keepers.some((keeper) => metadata.name.startsWith(`${keeper}-`)),
        );
      await eventually(gone, { what: `the end of ${example.name}`, explain: () => host.explain() });
    }
  });
}

function writeProfile({ name, text }: NonNullable<ExampleFile["profile"]>): void {
  const folder = join(host.paths.etc, "seccomp");
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, name), text);
}

/** One of the pods that something keeps: its name is not known before. */
function waitForAny(prefix: string, example: ExampleFile): Promise<PodView> {
  const probe = async (): Promise<PodView | undefined> =>
    (await host.pods()).find((pod) => pod.metadata.name.startsWith(prefix) && accepts(example, pod));
  return eventually(probe, { what: `a pod of ${example.name}`, explain: () => host.explain() });
}

function isRefused(example: ExampleFile, why: string): void {
  test(`${example.name} is refused: ${why}`, async () => {
    host.write(example.name, example.text);
    const { code, stdout } = await host.gantry("validate", join(host.manifests, example.name));
    expect(code).toBe(1);
    expect(stdout).toMatch(new RegExp(`${example.name}:\\d+:\\d+: .*${why}`));
    await eventually(async () => (await host.gantry("status")).stdout.includes(why), { what: `refused: ${why}` });
    host.remove(example.name);
    expect((await host.pods()).filter(({ metadata }) => example.pods.includes(metadata.name))).toEqual([]);
  });
}

function accepts(example: ExampleFile, { status }: PodView): boolean {
  if (status.phase !== example.phase) return false;
  const containers = [...status.initContainerStatuses, ...status.containerStatuses];
  const restarts = containers.reduce((sum, { restartCount }) => sum + restartCount, 0);
  if (example.restarts !== undefined && restarts !== example.restarts) return false;
  if (example.reason !== undefined && !containers.some(({ state }) => state.terminated?.reason === example.reason))
    return false;
  // A pod that goes on running does so with all its containers.
  return example.phase !== "Running" || status.containerStatuses.every(({ ready }) => ready);
}

async function waitForLog(name: string, pod: PodView, text: string): Promise<void> {
  const containers = pod.status.containerStatuses.map((container) => container.name);
  const seen = async (): Promise<boolean> => {
    const logs = await Promise.all(containers.map((container) => host.gantry("logs", name, "-c", container)));
    return logs.some(({ stdout }) => stdout.includes(text));
  };
  await eventually(seen, { what: `"${text}" in the log of ${name}`, explain: () => host.explain() });
}

async function waitForHttp({ url, text }: { readonly url: string; readonly text: string }): Promise<void> {
  await eventually(async () => (await (await fetch(url)).text()).includes(text), { what: `"${text}" from ${url}` });
}
