import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { expect, test } from "vitest";
import { readExamples } from "../support/examples.ts";
import { appearedPids, pidsOf, podText } from "./harness/sketch.ts";
import { eventually, type TestHost, testHost } from "./harness.ts";

const FILES = 300;
const SEED = 20260712;

type Mutation = (bytes: Buffer) => Buffer;

/** What happens to files: cut off, bits flipped, pieces lost, doubled, moved, swapped for something odd. */
const mutation: fc.Arbitrary<Mutation> = fc.oneof(
  place((bytes, at) => bytes.subarray(0, at)),
  fc.tuple(fc.double({ min: 0, max: 0.999, noNaN: true }), fc.integer({ min: 0, max: 7 })).map(
    ([where, bit]): Mutation =>
      (bytes) => {
        const copy = Buffer.from(bytes);
        const at = Math.floor(where * copy.length);
        copy[at] = (copy[at] ?? 0) ^ (1 << bit);
        return copy;
      },
  ),
  fc.tuple(fc.nat(200), fc.nat(40)).map(
    ([line, count]): Mutation =>
      (bytes) =>
        edit(bytes, (lines) => lines.splice(line % lines.length, count)),
  ),
  fc.tuple(fc.nat(200), fc.nat(8)).map(
    ([line, indent]): Mutation =>
      (bytes) =>
        edit(bytes, (lines) => {
          const at = line % lines.length;
          lines[at] = `${" ".repeat(indent)}${lines[at]?.trimStart() ?? ""}`;
        }),
  ),
  fc.tuple(fc.nat(200), fc.nat(200)).map(
    ([from, to]): Mutation =>
      (bytes) =>
        edit(bytes, (lines) => lines.splice(to % lines.length, 0, ...lines.slice(from % lines.length))),
  ),
  fc
    .tuple(
      fc.nat(200),
      fc.constantFrom(
        "null",
        "[]",
        "{}",
        "-1",
        "1e999",
        '""',
        "&a [*a]",
        "!!binary x",
        "true",
        "2020-01-01",
        "0777",
        "'",
        "|",
        "{{ x }}",
        "\u0000",
        "\ud83d\ude00",
        "x".repeat(70_000),
      ),
    )
    .map(
      ([line, value]): Mutation =>
        (bytes) =>
          edit(bytes, (lines) => {
            const at = line % lines.length;
            lines[at] = (lines[at] ?? "").replace(/:\s*[^:]*$/, `: ${value}`);
          }),
    ),
);

function place(change: (bytes: Buffer, at: number) => Buffer): fc.Arbitrary<Mutation> {
  return fc.double({ min: 0, max: 1, noNaN: true }).map(
    (where): Mutation =>
      (bytes) =>
        change(bytes, Math.floor(where * bytes.length)),
  );
}

function edit(bytes: Buffer, change: (lines: string[]) => void): Buffer {
  const lines = bytes.toString("utf8").split("\n");
  change(lines);
  return Buffer.from(lines.join("\n"));
}

test(`${FILES} damaged manifests in a live folder: nothing crashes, nothing is forgotten`, {
  timeout: 300_000,
}, async () => {
  await using host = testHost();
  await host.startDaemon();
  host.write("control.yaml", podText("control"));
  await host.waitReady("control");
  const control = await appearedPids(host.root, "control");
  const daemon = host.daemon?.pid;

  const originals = readExamples().map(({ text }) => Buffer.from(text));
  const damaged = fc.sample(
    fc
      .tuple(fc.constantFrom(...originals), fc.array(mutation, { minLength: 1, maxLength: 3 }))
      .map(([original, mutations]) => mutations.reduce<Buffer>((bytes, mutate) => mutate(bytes), original)),
    { numRuns: FILES, seed: SEED },
  );
  // Into 30 files, over and over: most versions live for a moment only, while others are being acted on.
  for (const [index, bytes] of damaged.entries()) {
    writeFileSync(join(host.manifests, `fuzz-${index % 30}.yaml`), harmless(bytes));
    if (index % 7 === 3) rmSync(join(host.manifests, `fuzz-${(index * 3) % 30}.yaml`), { force: true });
    if (index % 10 === 0) expect((await host.api("GET", "/healthz")).status).toBe(200);
  }
  await settled(host);
  expect(host.daemon?.exitCode()).toBeUndefined();
  expect(host.daemon?.pid).toBe(daemon);
  expect(pidsOf(host.root, "control")).toEqual(control);
  // What validate finds wrong with the folder is what status shows.
  const validation = await host.gantry("validate", host.manifests, "-o", "json");
  const found: unknown = JSON.parse(validation.stdout);
  const broken = brokenFiles(found);
  expect(broken.length).toBeGreaterThan(5);
  await eventually(
    async () => {
      const { stdout } = await host.gantry("status");
      return broken.every((file) => stdout.includes(`${file}:`));
    },
    { what: `all of ${broken.join(", ")} in status`, explain: () => host.explain() },
  );
  expect(host.daemon?.log()).not.toMatch(/fault of Gantry|TypeError|RangeError|ReferenceError|unhandled/i);
});

/** A damaged example must not use the machine's own ports, paths and network. */
function harmless(bytes: Buffer): Buffer {
  return Buffer.from(
    bytes.toString("latin1").replaceAll(/hostPort|hostNetwork|hostPath|hostPID/g, "hostXXXX"),
    "latin1",
  );
}

function brokenFiles(found: unknown): string[] {
  if (typeof found !== "object" || found === null || !("problems" in found) || !Array.isArray(found.problems))
    return [];
  const files = found.problems.flatMap((problem: unknown): string[] => {
    if (typeof problem !== "object" || problem === null || !("place" in problem) || !("severity" in problem)) return [];
    const { place: at, severity } = problem;
    if (severity !== "error" || typeof at !== "object" || at === null || !("file" in at)) return [];
    return [String(at.file)];
  });
  return [...new Set(files)];
}

/** A pod that is dropped last is the last to be looked at. */
async function settled(host: TestHost): Promise<void> {
  host.write("last.yaml", podText("last"));
  await host.waitReady("last");
  host.remove("last.yaml");
  await host.waitGone("last");
}
