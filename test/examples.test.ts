import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { defaultConfig } from "../src/config/defaults.ts";
import { effectiveConfig } from "../src/config/load.ts";
import { describedPod, formatProblem, parseManifestText } from "../src/manifest/index.ts";
import { layout } from "../src/system/paths.ts";
import { readExamples } from "./support/examples.ts";

const paths = layout();

describe("examples/config.yaml", () => {
  const file = "examples/config.yaml";

  test("names every setting, and gives each its default", async () => {
    const { config, settings } = await effectiveConfig({ paths, file, env: {} });
    const defaults = defaultConfig(paths);
    expect(config).toEqual({ ...defaults, node: { name: "my-host" } });
    const text = readFileSync(file, "utf8");
    for (const { path } of settings) expect(text).toMatch(new RegExp(`^ *(# )?${path.split(".").at(-1)}:`, "m"));
  });
});

describe.each(["examples", "manifests"])("the manifests of %s/", (directory) => {
  const names = readdirSync(directory).filter((name) => /\.(ya?ml|json)$/.test(name) && name !== "config.yaml");

  test.each(names)("%s is valid and has nothing to warn of", (name) => {
    const { objects, problems } = parseManifestText(name, readFileSync(join(directory, name), "utf8"));
    expect(problems.map(formatProblem)).toEqual([]);
    expect(objects.some(({ object }) => describedPod(object) !== undefined)).toBe(true);
  });
});

test("no two examples use the same pod name or host port, so that all of them run side by side", () => {
  const pods = [...readExamples().flatMap(({ name, text }) => parseManifestText(name, text).objects)]
    .map(({ object }) => object)
    .filter((object) => object.kind === "Pod");
  const names = pods.map(({ metadata }) => metadata.name);
  expect(new Set(names).size).toBe(names.length);
  const ports = pods
    .flatMap(({ spec }) => spec.containers.flatMap((container) => container.ports ?? []))
    .flatMap((port) => port.hostPort ?? []);
  expect(new Set(ports).size).toBe(ports.length);
});
