import { expect, test } from "vitest";
import { podText, RUNTIME_CLASSES, shell, testHost } from "./harness.ts";

interface PodMetricsList {
  readonly items: readonly {
    readonly metadata: { readonly name: string };
    readonly containers: readonly { readonly name: string; readonly usage: { readonly cpu: string } }[];
  }[];
}

test.each(RUNTIME_CLASSES)("gantry top tells who is busy: %s", async (runtimeClass) => {
  await using host = testHost({ runtimeClass });
  await host.startDaemon();
  const limits = { resources: { limits: { cpu: "500m", memory: "64Mi" } } };
  host.write("busy.yaml", podText("busy", [shell("app", "while :; do :; done", limits)]));
  await host.waitReady("busy");
  const list: PodMetricsList = JSON.parse((await host.gantry("top", "pods", "-o", "json")).stdout);
  expect(list.items.map(({ metadata, containers }) => [metadata.name, containers.map(({ name }) => name)])).toEqual([
    ["busy", ["app"]],
  ]);
  expect(Number.parseInt(list.items[0]?.containers[0]?.usage.cpu ?? "", 10)).toBeGreaterThan(20_000_000);
  expect((await host.gantry("top", "node")).stdout).toMatch(/^NAME.*\n\S+ +\d+m +\d+% +\d+Mi +\d+%\n$/);
});
