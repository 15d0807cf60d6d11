import { readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { PodNetwork } from "../../src/network/index.ts";
import type { PortMapping } from "../../src/sandbox/driver.ts";
import { exec } from "../../src/system/exec.ts";
import { freePort, Lab, signal } from "./lab.ts";

let lab: Lab;
let netns: string;
let ports: PortMapping[];

beforeEach(async () => {
  lab = await Lab.open();
  netns = await lab.netns();
  ports = [{ hostPort: await freePort(), containerPort: 80, protocol: "TCP" }];
});
afterEach(() => lab.close());

/**
 * Runs `act` with processes that work until the n-th: that one is never started, or its end is never heard of. So a
 * daemon that dies there looks to the world. Returns as soon as nothing can go on any more.
 */
async function dieAt(n: number, after: boolean, act: (run: typeof exec) => Promise<unknown>): Promise<void> {
  let calls = 0;
  const died = Promise.withResolvers<void>();
  const dead = (): Promise<never> => {
    died.resolve();
    return new Promise(() => undefined);
  };
  const run: typeof exec = async (...call) => {
    calls += 1;
    if (calls > n || (calls === n && !after)) return dead();
    const result = await exec(...call);
    return calls >= n ? dead() : result;
  };
  await Promise.race([act(run), died.promise]);
}

/** A network whose `start` is safe; `run` is for what comes then. */
async function startedNetwork(run: typeof exec): Promise<PodNetwork> {
  let started = false;
  const network = lab.network({}, (...call) => (started ? run(...call) : exec(...call)));
  await network.start(signal());
  started = true;
  return network;
}

const steps = [
  ["before", 1, false],
  ["after", 1, true],
  ["before", 2, false],
  ["after", 2, true],
] as const;

describe("the daemon dies", () => {
  test.each(steps)(
    "during attach, %s process %i: the next one attaches, detaches and leaves nothing",
    async (_, n, after) => {
      await dieAt(n, after, async (run) => {
        const dying = await startedNetwork(run);
        await lab.attach(dying, "pod", netns, ports);
      });
      const next = lab.network();
      await next.start(signal());
      const result = await lab.attach(next, "pod", netns, ports);
      lab.serve(netns, 80);
      expect(await lab.ask(undefined, `127.0.0.1:${ports[0]?.hostPort}`)).toBeDefined();
      expect(await lab.leases()).toEqual(result.ips);
      await next.detach("pod", signal());
      expect(await next.collectGarbage(new Set(), signal())).toEqual([]);
      await next.teardown(signal());
      expect(await lab.traces()).toEqual([]);
    },
  );

  test.each(steps)("during detach, %s process %i: the next one finishes", async (_, n, after) => {
    await dieAt(n, after, async (run) => {
      let mortal = false;
      const dying = await startedNetwork((...call) => (mortal ? run(...call) : exec(...call)));
      await lab.attach(dying, "pod", netns, ports);
      mortal = true;
      await dying.detach("pod", signal());
    });
    const next = lab.network();
    await next.start(signal());
    await next.detach("pod", signal());
    await next.teardown(signal());
    expect(await lab.traces()).toEqual([]);
  });

  test("and nobody wants the pod any more: garbage collection takes its network away", async () => {
    const before = lab.network();
    await before.start(signal());
    await lab.attach(before, "gone", netns, ports);
    await lab.attach(before, "stays", await lab.netns());
    await lab.removeNetns(netns);
    const next = lab.network();
    expect(await next.collectGarbage(new Set(["stays"]), signal())).toEqual(["network of sandbox gone"]);
    expect(await lab.leases()).toHaveLength(1);
    expect(await lab.records()).toEqual(["stays.json"]);
    expect(await lab.rules()).not.toContain(`${ports[0]?.hostPort}`);
    expect(await next.collectGarbage(new Set(["stays"]), signal())).toEqual([]);
  });
});

describe("somebody else meddles", () => {
  test.each(["", "{", '{"version":1}', "\0\0\0"])("the record says %j: attach makes the network anew", async (text) => {
    const before = lab.network();
    await before.start(signal());
    await lab.attach(before, "pod", netns, ports);
    await writeFile(join(lab.paths.run, "network", "pod.json"), text);
    const next = lab.network();
    await next.start(signal());
    const result = await lab.attach(next, "pod", netns, ports);
    expect(await lab.leases()).toEqual(result.ips);
    expect(await lab.bridgePorts()).toHaveLength(1);
    await next.detach("pod", signal());
    await next.teardown(signal());
    expect(await lab.traces()).toEqual([]);
  });

  test("a damaged record of a pod that nobody wants is garbage", async () => {
    const before = lab.network();
    await before.start(signal());
    await lab.attach(before, "pod", netns);
    await writeFile(join(lab.paths.run, "network", "pod.json"), "{");
    const next = lab.network();
    expect(await next.collectGarbage(new Set(), signal())).toContain("network of sandbox pod");
    expect([...(await lab.leases()), ...(await lab.records()), ...(await lab.bridgePorts())]).toEqual([]);
  });

  test("leases, interfaces and empty lease files without a record are garbage", async () => {
    const before = lab.network();
    await before.start(signal());
    await lab.attach(before, "pod", netns);
    await rm(join(lab.paths.run, "network", "pod.json"));
    await writeFile(join(lab.paths.run, "cni-leases", lab.table, "10.200.0.9"), "");
    const removed = await lab.network().collectGarbage(new Set(), signal());
    expect(removed).toEqual(
      expect.arrayContaining([
        "network of sandbox pod",
        expect.stringContaining("interface veth"),
        expect.stringContaining("empty lease"),
      ]),
    );
    expect([...(await lab.leases()), ...(await lab.bridgePorts())]).toEqual([]);
  });

  test.each(["damaged", "missing"])("a living pod whose record is %s keeps its network", async (how) => {
    const before = lab.network();
    await before.start(signal());
    const { ips } = await lab.attach(before, "pod", netns);
    const record = join(lab.paths.run, "network", "pod.json");
    await (how === "damaged" ? writeFile(record, "{") : rm(record));
    expect(await lab.network().collectGarbage(new Set(["pod"]), signal())).toEqual([]);
    lab.serve(netns, 80);
    expect(await lab.ask(undefined, `${ips[0]}:80`)).toBeDefined();
  });

  test("the interface in the netns was removed: attach makes a new one", async () => {
    const network = lab.network();
    await network.start(signal());
    await lab.attach(network, "pod", netns, ports);
    await exec("nsenter", [`--net=${netns}`, "ip", "link", "del", "eth0"]);
    const result = await lab.attach(network, "pod", netns, ports);
    lab.serve(netns, 80);
    expect(await lab.ask(undefined, `${result.ips[0]}:80`)).toBeDefined();
    expect(await lab.leases()).toEqual(result.ips);
  });

  test("the rules were flushed: collection, or the next pod with ports, brings all of them back", async () => {
    const network = lab.network();
    await network.start(signal());
    await lab.attach(network, "pod", netns, ports);
    lab.serve(netns, 80);
    await exec("nft", ["delete", "table", "ip", lab.table]);
    expect(await network.collectGarbage(new Set(["pod"]), signal())).toEqual(["changed port rules (made anew)"]);
    expect(await lab.ask(undefined, `127.0.0.1:${ports[0]?.hostPort}`)).toBeDefined();
    await exec("nft", ["delete", "table", "ip", lab.table]);
    await lab.attach(network, "other", await lab.netns(), [
      { hostPort: await freePort(), containerPort: 81, protocol: "TCP" },
    ]);
    expect(await lab.ask(undefined, `127.0.0.1:${ports[0]?.hostPort}`)).toBeDefined();
    await exec("nft", ["flush", "map", "ip", lab.table, "ports"]);
    await network.detach("other", signal());
    expect(await lab.ask(undefined, `127.0.0.1:${ports[0]?.hostPort}`)).toBeDefined();
  });

  test("the bridge was removed: the next attach makes it again", async () => {
    const network = lab.network();
    await network.start(signal());
    await exec("ip", ["link", "del", lab.bridge]);
    await lab.attach(network, "pod", netns, ports);
    lab.serve(netns, 80);
    expect(await lab.ask(undefined, `127.0.0.1:${ports[0]?.hostPort}`)).toBeDefined();
    expect((await readFile(`/proc/sys/net/ipv4/conf/${lab.bridge}/route_localnet`, "utf8")).trim()).toBe("1");
  });

  test("an attach that is cancelled leaves nothing", async () => {
    const network = lab.network();
    await network.start(signal());
    for (const delay of [0, 5, 10, 20, 30]) {
      const request = { sandboxId: "pod", podNamespace: "default", podName: "pod", netns, portMappings: ports };
      const outcome = await network.attach(request, AbortSignal.timeout(delay)).then(
        () => "attached",
        (error: { code?: string }) => error.code,
      );
      expect(["attached", "cancelled"]).toContain(outcome);
      await network.detach("pod", signal());
      expect([...(await lab.leases()), ...(await lab.records())]).toEqual([]);
    }
    expect(await lab.attach(network, "pod", netns, ports)).toMatchObject({ interfaceName: "eth0" });
  });
});
