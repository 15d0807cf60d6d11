import { createServer } from "node:net";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { PodNetwork } from "../../src/network/index.ts";
import { freePort, hostAddress, Lab, signal } from "./lab.ts";

let lab: Lab;
let network: PodNetwork;
let web: string;
let other: string;
let webIP: string;
let hostIP: string;
const ports = { any: 0, udp: 0, bound: 0 };

beforeAll(async () => {
  lab = await Lab.open();
  network = lab.network();
  await network.start(signal());
  [web, other, hostIP] = [await lab.netns(), await lab.netns(), await hostAddress()];
  Object.assign(ports, { any: await freePort(), udp: await freePort(), bound: await freePort() });
  const result = await lab.attach(network, "web", web, [
    { hostPort: ports.any, containerPort: 80, protocol: "TCP" },
    { hostPort: ports.udp, containerPort: 53, protocol: "UDP" },
    { hostPort: ports.bound, containerPort: 80, protocol: "TCP", hostIP: "127.0.0.1" },
  ]);
  webIP = result.ips[0] ?? "";
  await lab.attach(network, "other", other);
  lab.serve(web, 80);
  lab.serve(web, 53, "UDP");
});
afterAll(() => lab.close());

describe("a pod is reached", () => {
  test("from another pod, which is seen with its own address", async () => {
    const again = await lab.attach(network, "other", other);
    expect(await lab.ask(other, `${webIP}:80`)).toBe(again.ips[0]);
  });
  test("from the host", async () => expect(await lab.ask(undefined, `${webIP}:80`)).toBeDefined());
  test("at the host port by the host's address", async () =>
    expect(await lab.ask(undefined, `${hostIP}:${ports.any}`)).toBeDefined());
  test("at the host port by 127.0.0.1", async () =>
    expect(await lab.ask(undefined, `127.0.0.1:${ports.any}`)).toBeDefined());
  test("at the host port over UDP", async () =>
    expect(await lab.ask(undefined, `127.0.0.1:${ports.udp}`, "UDP")).toBeDefined());
  test("at the host port from another pod", async () =>
    expect(await lab.ask(other, `${hostIP}:${ports.any}`)).toBeDefined());
  test("at its own host port (hairpin)", async () =>
    expect(await lab.ask(web, `${hostIP}:${ports.any}`)).toBeDefined());
  test("at its own address over lo", async () => expect(await lab.ask(web, "127.0.0.1:80")).toBe("127.0.0.1"));
  test("at the host port from another machine, whose address the pod sees", async () => {
    const neighbour = await lab.neighbour();
    expect(await lab.ask(neighbour.netns, `${neighbour.hostIP}:${ports.any}`)).toBe(neighbour.ip);
    expect(await lab.ask(neighbour.netns, `${neighbour.hostIP}:${ports.udp}`, "UDP")).toBe(neighbour.ip);
    // hostIP 127.0.0.1 is for this host only
    expect(await lab.ask(undefined, `127.0.0.1:${ports.bound}`)).toBeDefined();
    expect(await lab.ask(neighbour.netns, `${neighbour.hostIP}:${ports.bound}`, "TCP", 0)).toBeUndefined();
    // and a pod reaches the other machine, masqueraded
    lab.serve(neighbour.netns, 99);
    expect(await lab.ask(other, `${neighbour.ip}:99`)).toBe(neighbour.hostIP);
  });
  test("what listens on the host's loopback only stays out of reach", async () => {
    const server = createServer((socket) => socket.end("secret"));
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const address = server.address();
    const port = typeof address === "object" ? address?.port : undefined;
    const gateway = (await lab.attach(network, "other", other)).gateway;
    const { exec } = await import("../../src/system/exec.ts");
    await exec("nsenter", [
      `--net=${other}`,
      "sh",
      "-c",
      `echo 1 > /proc/sys/net/ipv4/conf/all/route_localnet; ip route add 127.0.0.1/32 via ${gateway} dev eth0; ip rule add pref 1 to 127.0.0.1 lookup main; ip rule del pref 0; ip rule add pref 2 lookup local`,
    ]);
    expect(await lab.ask(other, `127.0.0.1:${port}`, "TCP", 0)).toBeUndefined();
    await new Promise((resolve) => server.close(resolve));
  });
});

describe("a pod's network", () => {
  test("attaching again gives the same result", async () => {
    const first = await lab.attach(network, "other", other);
    expect(await lab.attach(network, "other", other)).toEqual(first);
    expect(await lab.attach(lab.network(), "other", other)).toEqual(first);
    expect(first).toMatchObject({
      interfaceName: "eth0",
      mac: expect.stringMatching(/^([0-9a-f]{2}:){5}[0-9a-f]{2}$/),
      gateway: expect.stringMatching(/^10\./),
    });
  });

  test("twenty at once get twenty addresses, and leave nothing when they go", async () => {
    const before = (await lab.leases()).length;
    const namespaces = await Promise.all(Array.from({ length: 20 }, () => lab.netns()));
    const base = await freePort();
    const results = await Promise.all(
      namespaces.map((netns, i) =>
        lab.attach(
          network,
          `many-${i}`,
          netns,
          i % 2 === 0 ? [] : [{ hostPort: base + i, containerPort: 80, protocol: "TCP" }],
        ),
      ),
    );
    expect(new Set(results.map((result) => result.ips[0])).size).toBe(20);
    expect(
      await network.collectGarbage(new Set(["web", "other", ...results.map((_, i) => `many-${i}`)]), signal()),
    ).toEqual([]);
    await Promise.all(namespaces.map((_, i) => network.detach(`many-${i}`, signal())));
    expect((await lab.leases()).length).toBe(before);
    expect((await lab.records()).sort()).toEqual(["other.json", "web.json"]);
    expect(await lab.rules()).not.toContain(`. ${base + 1} :`);
  });
});

describe("host ports that are taken", () => {
  test("by a process: it is named", async () => {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, "0.0.0.0", resolve));
    const address = server.address();
    const port = typeof address === "object" ? (address?.port ?? 0) : 0;
    const attempt = lab.attach(network, "late", await lab.netns(), [
      { hostPort: port, containerPort: 80, protocol: "TCP" },
    ]);
    await expect(attempt).rejects.toMatchObject({
      code: "port-in-use",
      message: expect.stringContaining(`pid ${process.pid}`),
    });
    await new Promise((resolve) => server.close(resolve));
    expect(await lab.records()).not.toContain("late.json");
  });
  test("by a pod: it is named, unless the addresses differ", async () => {
    const netns = await lab.netns();
    const attempt = lab.attach(network, "late", netns, [{ hostPort: ports.any, containerPort: 1, protocol: "TCP" }]);
    await expect(attempt).rejects.toMatchObject({
      code: "port-in-use",
      message: expect.stringContaining("pod default/web"),
    });
    await lab.attach(network, "late", netns, [{ hostPort: ports.bound, containerPort: 80, protocol: "TCP", hostIP }]);
    await network.detach("late", signal());
  });
  test("of two that come at once, one gets it", async () => {
    const port = await freePort();
    const [a, b] = [await lab.netns(), await lab.netns()];
    const mapping = { hostPort: port, containerPort: 80, protocol: "TCP" } as const;
    const results = await Promise.allSettled([
      lab.attach(network, "race-a", a, [mapping]),
      lab.attach(network, "race-b", b, [mapping]),
    ]);
    expect(results.map((result) => result.status).sort()).toEqual(["fulfilled", "rejected"]);
    await network.detach("race-a", signal());
    await network.detach("race-b", signal());
  });
  test.each([
    ["203.0.113.77", "network-failed"],
    ["::1", "unsupported"],
  ])("hostIP %s is refused", async (address, code) => {
    const attempt = lab.attach(network, "late", await lab.netns(), [
      { hostPort: await freePort(), containerPort: 80, protocol: "TCP", hostIP: address },
    ]);
    await expect(attempt).rejects.toMatchObject({ code });
  });
});

test("at the end everything is gone", async () => {
  await expect(network.teardown(signal())).rejects.toMatchObject({ code: "conflict" });
  for (const id of ["web", "other", "never-was"]) await network.detach(id, signal());
  await network.teardown(signal());
  expect(await lab.traces()).toEqual([]);
  await network.teardown(signal());
});
