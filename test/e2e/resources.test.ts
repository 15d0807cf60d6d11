import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { detectCgroups } from "../../src/sandbox/cgroup/host.ts";
import { readMetrics } from "../support/prometheus.ts";
import { callApi, FOREVER, type PodView, podText, RUNTIME_CLASSES, shell, testHost } from "./harness.ts";

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

  // Prometheus reads more of it: what it needs the memory for, that its limit holds it back, and its network.
  await host.gantry("exec", "busy", "--", "ping", "-c", "1", "-W", "1", "198.51.100.1");
  const scraped = readMetrics((await callApi(host.paths.socket, "GET", "/metrics/cadvisor")).body);
  const found = (name: string, container: string): number | undefined =>
    scraped
      .get(name)
      ?.samples.find((one) => one.labels["pod"] === "busy" && (one.labels["container"] ?? "") === container)?.value;
  for (const name of ["cpu_usage_seconds_total", "cpu_cfs_throttled_seconds_total", "memory_working_set_bytes"])
    expect(found(`container_${name}`, "app"), name).toBeGreaterThan(0);
  for (const name of ["memory_usage_bytes", "memory_rss", "processes", "spec_memory_limit_bytes", "fs_usage_bytes"])
    expect(found(`container_${name}`, "app"), name).toBeGreaterThan(0);
  for (const name of ["cpu_usage_seconds_total", "memory_working_set_bytes", "network_transmit_bytes_total"])
    expect(found(`container_${name}`, ""), `${name} of the pod`).toBeGreaterThan(0);
  const kubelet = readMetrics((await callApi(host.paths.socket, "GET", "/metrics")).body);
  const starts = kubelet.get("kubelet_pod_start_duration_seconds")?.samples;
  expect(starts?.find(({ name }) => name.endsWith("_count"))?.value).toBe(1);
  expect(JSON.parse((await callApi(host.paths.socket, "GET", "/stats/summary")).body).pods).toMatchObject([
    { podRef: { name: "busy" }, network: { name: "eth0", txBytes: expect.any(Number) } },
  ]);
});

const whole = (cpu: string, memory: string) => ({ limits: { cpu, memory } });

test.each(RUNTIME_CLASSES)("too much on disk: evicted, with nothing left but the log: %s", async (runtimeClass) => {
  await using host = testHost({ runtimeClass });
  await host.startDaemon();
  const limit = (size: string) => ({ resources: { limits: { "ephemeral-storage": size } } });
  const writes = shell("greedy", `echo filling; head -c 4000000 /dev/zero > /tmp/full; ${FOREVER}`, limit("1Mi"));
  host.write("greedy.yaml", podText("greedy", [writes, shell("modest", FOREVER, limit("100Mi"))]));
  const volumes = [{ name: "v", emptyDir: {} }];
  const fills = shell("app", `head -c 4000000 /dev/zero > /v/full; ${FOREVER}`, {
    ...limit("2Mi"),
    volumeMounts: [{ name: "v", mountPath: "/v" }],
  });
  host.write("full.yaml", podText("full", [fills], { volumes, terminationGracePeriodSeconds: 600 }));
  host.write("fine.yaml", podText("fine", [shell("app", FOREVER, limit("50Mi"))]));
  const [greedy, full] = [await host.waitPhase("greedy", "Failed"), await host.waitPhase("full", "Failed")];
  expect([greedy.status.reason, greedy.status.message]).toEqual([
    "Evicted",
    'Container greedy exceeded its local ephemeral storage limit "1Mi".',
  ]);
  expect(full.status.message).toBe("Pod ephemeral local storage usage exceeds the total limit of containers 2Mi.");
  expect((await host.gantry("logs", "greedy", "-c", "greedy")).stdout).toBe("filling\n");
  await host.waitReady("fine");
});

test.each(RUNTIME_CLASSES)("a pod's own resources and its overhead: %s", async (runtimeClass) => {
  await using host = testHost();
  await host.startDaemon();
  const heavy = {
    apiVersion: "node.k8s.io/v1",
    kind: "RuntimeClass",
    metadata: { name: "heavy" },
    handler: runtimeClass,
    overhead: { podFixed: { cpu: "100m", memory: "20Mi" } },
  };
  host.write("class.yaml", JSON.stringify(heavy));
  const env = [{ name: "LIMIT", valueFrom: { resourceFieldRef: { resource: "limits.memory" } } }];
  const spec = { runtimeClassName: "heavy", resources: whole("500m", "100Mi") };
  host.write("whole.yaml", podText("whole", [shell("app", FOREVER, { env }), shell("other", FOREVER)], spec));
  const pod = await host.waitReady("whole");
  expect(pod.spec["overhead"]).toEqual({ cpu: "100m", memory: "20Mi" });
  expect((await host.gantry("describe", "whole")).stdout).toMatch(/QoS.*Guaranteed/);
  const inside = await host.gantry("exec", "whole", "-c", "app", "--", "sh", "-c", "echo $LIMIT; cat /proc/meminfo");
  expect(inside.stdout).toMatch(new RegExp(`^${100 * 2 ** 20}\\n`));
  if (runtimeClass === "microvm") {
    const kib = Number(/^MemTotal: +(\d+) kB$/m.exec(inside.stdout)?.[1]);
    expect([kib > 100 * 1024, kib < 256 * 1024]).toEqual([true, true]);
  } else {
    const { controller, unified } = detectCgroups();
    const file = unified ? "memory.max" : "memory.limit_in_bytes";
    const path = `${controller("memory")}/gantry-${host.paths.rootId}/pod${pod.metadata.uid}/${file}`;
    expect(readFileSync(path, "utf8").trim()).toBe(String(120 * 2 ** 20));
  }
  // Each may have 100 MiB, but not both.
  const takes = "mkfifo /p; sleep 1000 < /p & exec dd if=/dev/zero of=/p bs=66000000 count=1";
  const hogs = ["a", "b"].map((name) => shell(name, takes));
  host.write("pair.yaml", podText("pair", hogs, { ...spec, restartPolicy: "Never" }));
  const isKilled = ({ status: { containerStatuses } }: PodView): boolean =>
    containerStatuses.some(({ state }) => state.terminated?.reason === "OOMKilled");
  await host.waitFor("pair", isKilled, "out of memory");
  host.write("odd.yaml", podText("odd", [shell("app", FOREVER)], { ...spec, overhead: { memory: "1Gi" } }));
  await expect
    .poll(async () => (await host.gantry("status")).stdout)
    .toContain("is not the overhead that runtime class");
});

const deployment = {
  apiVersion: "apps/v1",
  kind: "Deployment",
  metadata: { name: "shop" },
  spec: {
    replicas: 1,
    selector: { matchLabels: { app: "shop" } },
    template: {
      metadata: { labels: { app: "shop" } },
      spec: { terminationGracePeriodSeconds: 600, containers: [shell("app", FOREVER)] },
    },
  },
};

test.each(RUNTIME_CLASSES)(
  "a node short of memory: pods go in order, and none come until it is over: %s",
  async (runtimeClass) => {
    await using host = testHost({ runtimeClass });
    await host.startDaemon();
    host.write("shop.yaml", JSON.stringify(deployment));
    const steady = shell("app", FOREVER, { resources: whole("500m", "64Mi") });
    host.write("steady.yaml", podText("steady", [steady], { terminationGracePeriodSeconds: 600 }));
    const critical = { priorityClassName: "system-node-critical" };
    host.write("critical.yaml", podText("critical", [shell("app", FOREVER)], critical));
    for (const name of ["steady", "critical"]) await host.waitReady(name);
    const shop = async () => (await host.pods()).filter(({ metadata }) => metadata.name.startsWith("shop-"));
    await expect
      .poll(async () => (await shop()).map(({ status }) => status.phase), { timeout: 60_000 })
      .toEqual(["Running"]);
    const [first] = await shop();

    await host.stopDaemon();
    await host.startDaemon({
      args: ["--set", "eviction.memoryAvailable=8000Gi", "--set", "eviction.intervalSeconds=1"],
    });
    const gone = await host.waitPhase("steady", "Failed");
    expect(gone.status.reason).toBe("Evicted");
    expect(gone.status.message).toMatch(
      /^The node was low on resource: memory\. Threshold quantity: 8000Gi, available: /,
    );
    const next = async () => (await shop()).find(({ metadata }) => metadata.name !== first?.metadata.name);
    await expect.poll(async () => (await next())?.status.reason, { timeout: 60_000 }).toBe("NodeUnderPressure");
    const again = await host.gantry("restart", "steady");
    expect([again.code, again.stderr]).toEqual([1, expect.stringMatching(/ended for good \(Evicted\).*steady\.yaml/s)]);
    const events = JSON.parse((await host.gantry("events", "--types", "Warning", "-o", "json")).stdout);
    const evicted = events.items.filter(({ reason }: { reason: string }) => reason === "Evicted");
    expect(evicted.map(({ involvedObject }: { involvedObject: { name: string } }) => involvedObject.name)).toEqual([
      first?.metadata.name,
      "steady",
    ]);
    const status = (await host.gantry("status")).stdout;
    expect(status).toMatch(/MemoryPressure/);
    expect(status).toMatch(/critical +1\/1 +Running/);
    const node = JSON.parse((await callApi(host.paths.socket, "GET", "/api/v1/nodes")).body).items[0];
    expect(node.status.conditions).toContainEqual(expect.objectContaining({ type: "MemoryPressure", status: "True" }));

    await host.stopDaemon();
    await host.startDaemon();
    await host.waitReady((await next())?.metadata.name ?? "");
    expect((await host.pods()).find(({ metadata }) => metadata.name === "steady")?.status.reason).toBe("Evicted");
  },
);
