import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { conflistFolder } from "../../src/network/index.ts";
import { messageOf } from "../../src/system/errors.ts";
import { exec } from "../../src/system/exec.ts";
import { freePort, hostAddress, Lab, signal } from "./lab.ts";

let lab: Lab;
let folder: string;

beforeEach(async () => {
  lab = await Lab.open();
  folder = conflistFolder(lab.paths);
  await mkdir(folder, { recursive: true });
});
afterEach(() => lab.close());

const ownFile = (): string => join(folder, "10-gantry.conflist");
const errorOf = (promise: Promise<unknown>): Promise<string> => promise.then(() => "no error", messageOf);

/** What Podman or CRI-O ship: every plugin that takes part in port mapping. */
function userConflist(
  name: string,
  subnet: string,
  extra: object[] = [{ type: "portmap", capabilities: { portMappings: true } }, { type: "firewall" }],
): string {
  const ipam = {
    type: "host-local",
    dataDir: join(lab.paths.run, "cni-leases"),
    ranges: [[{ subnet }]],
    routes: [{ dst: "0.0.0.0/0" }],
  };
  const bridge = { type: "bridge", bridge: lab.bridge, isGateway: true, ipMasq: true, hairpinMode: true, ipam };
  return JSON.stringify({ cniVersion: "0.4.0", name, plugins: [bridge, ...extra] });
}

describe("a conflist of the user", () => {
  test("with portmap and firewall is run as a whole, and undone as a whole", async () => {
    await writeFile(join(folder, "05-mine.conflist"), userConflist(lab.table, "198.19.77.0/24"));
    const network = lab.network();
    await network.start(signal());
    const [netns, port] = [await lab.netns(), await freePort()];
    const result = await lab.attach(network, "pod", netns, [{ hostPort: port, containerPort: 80, protocol: "TCP" }]);
    expect(result.ips[0]).toMatch(/^198\.19\.77\./);
    lab.serve(netns, 80);
    expect(await lab.ask(undefined, `${await hostAddress()}:${port}`)).toBeDefined();
    expect(await lab.ask(undefined, `127.0.0.1:${port}`)).toBeDefined();
    expect(await lab.rules()).not.toContain(`${port}`); // portmap does it
    expect((await exec("iptables-save", ["-t", "nat"])).stdout).toContain(`--dport ${port}`);
    await network.detach("pod", signal());
    await network.teardown(signal());
    const after = (await exec("iptables-save", [])).stdout;
    expect(after).not.toContain(`--dport ${port}`);
    expect(after).not.toContain("198.19.77.");
    expect(await lab.traces()).toEqual([]);
  });

  test("without portmap gets host ports from Gantry's table", async () => {
    await writeFile(join(folder, "05-mine.conflist"), userConflist(lab.table, "198.19.78.0/24", []));
    const network = lab.network();
    await network.start(signal());
    const [netns, other, port] = [await lab.netns(), await lab.netns(), await freePort()];
    await lab.attach(network, "pod", netns, [{ hostPort: port, containerPort: 80, protocol: "TCP" }]);
    await lab.attach(network, "other", other);
    lab.serve(netns, 80);
    for (const from of [undefined, other, netns])
      expect(await lab.ask(from, `${await hostAddress()}:${port}`)).toBeDefined();
    expect(await lab.ask(undefined, `127.0.0.1:${port}`)).toBeDefined();
    for (const id of ["pod", "other"]) await network.detach(id, signal());
    await network.teardown(signal());
    expect(await lab.traces()).toEqual([]);
  });

  test("is used from the next pod on; those that run are undone by the network they were made with", async () => {
    const network = lab.network();
    await network.start(signal());
    const first = await lab.attach(network, "first", await lab.netns());
    await writeFile(
      join(folder, "99-mine.conflist"),
      userConflist("mine", "198.19.79.0/24", []).replace(lab.bridge, `${lab.bridge}u`),
    );
    const second = await lab.attach(network, "second", await lab.netns());
    expect(first.ips[0]).toMatch(/^10\./);
    expect(second.ips[0]).toMatch(/^198\.19\.79\./);
    await network.detach("first", signal());
    await network.detach("second", signal());
    expect(await lab.leases()).toEqual([]);
    await exec("ip", ["link", "del", `${lab.bridge}u`]);
  });

  test("is found by its name or path", async () => {
    await writeFile(join(folder, "05-other.conflist"), userConflist("other", "198.19.80.0/24", []));
    await writeFile(join(folder, "50-mine.conflist"), userConflist("mine", "198.19.81.0/24", []));
    for (const conflist of ["mine", join(folder, "50-mine.conflist")]) {
      const network = lab.network({ conflist });
      await network.start(signal());
      expect((await lab.attach(network, "pod", await lab.netns())).ips[0]).toMatch(/^198\.19\.81\./);
      await network.detach("pod", signal());
    }
    expect(await errorOf(lab.network({ conflist: "typo" }).start(signal()))).toContain(
      "no CNI network named 'typo' (found: other, mine",
    );
  });

  test.each([
    ["{", "JSON"],
    ["[]", "expected object"],
    ['{"name":"x","cniVersion":"1.0.0","plugins":[]}', "at least one plugin"],
    ['{"name":"x y","cniVersion":"1.0.0","plugins":[{"type":"bridge"}]}', "name:"],
    ['{"name":"x","cniVersion":"1.0.0","plugins":[{"type":"../bridge"}]}', "plugins.0.type"],
    [
      '{"name":"x","cniVersion":"1.0.0","plugins":[{"type":"no-such-plugin"}]}',
      "the CNI plugin 'no-such-plugin' is not installed",
    ],
  ])("that is broken is named: %s", async (text, expected) => {
    const file = join(folder, "05-mine.conflist");
    await writeFile(file, text);
    const message = await errorOf(lab.network().start(signal()));
    expect(message).toContain(expected);
    if (!text.includes("no-such")) expect(message).toContain(file);
  });

  test("whose plugin refuses is told in the plugin's words, and leaves nothing", async () => {
    await writeFile(
      join(folder, "05-mine.conflist"),
      userConflist(lab.table, "198.19.82.0/24", [{ type: "tuning", sysctl: { "net.ipv4.conf.no_such.key": "1" } }]),
    );
    const network = lab.network();
    await network.start(signal());
    expect(await errorOf(lab.attach(network, "pod", await lab.netns()))).toMatch(/CNI plugin tuning \(ADD\).*no_such/);
    expect([...(await lab.leases()), ...(await lab.records())]).toEqual([]);
  });
});

describe("Gantry's own network", () => {
  test("is written once, and again when the configuration changed", async () => {
    await lab.network().start(signal());
    const first = await readFile(ownFile(), "utf8");
    await lab.network().start(signal());
    expect(await readFile(ownFile(), "utf8")).toBe(first);
    const network = lab.network({ subnet: "198.19.83.0/24", mtu: 1280 });
    await network.start(signal());
    const netns = await lab.netns();
    expect((await lab.attach(network, "pod", netns)).ips).toEqual(["198.19.83.2"]);
    expect((await exec("nsenter", [`--net=${netns}`, "ip", "link", "show", "eth0"])).stdout).toContain("mtu 1280");
    // not while a pod is in the old range
    await lab.network({ subnet: "198.19.84.0/24" }).start(signal());
    expect(await readFile(ownFile(), "utf8")).toContain("198.19.83.0/24");
  });

  test("that was edited belongs to the user", async () => {
    await lab.network().start(signal());
    const edited = (await readFile(ownFile(), "utf8")).replace(/"mtu": \d+/, '"mtu": 1300');
    await writeFile(ownFile(), edited);
    const network = lab.network();
    await network.start(signal());
    expect(await readFile(ownFile(), "utf8")).toBe(edited);
    const netns = await lab.netns();
    await lab.attach(network, "pod", netns);
    expect((await exec("nsenter", [`--net=${netns}`, "ip", "link", "show", "eth0"])).stdout).toContain("mtu 1300");
    await network.detach("pod", signal());
  });

  test("that is full says so, names its range and frees addresses again", async () => {
    const network = lab.network({ subnet: "198.19.85.0/29" });
    await network.start(signal());
    const namespaces = await Promise.all(Array.from({ length: 6 }, () => lab.netns()));
    for (const [i, netns] of namespaces.slice(0, 5).entries()) await lab.attach(network, `pod-${i}`, netns);
    const attempt = lab.attach(network, "pod-5", namespaces[5] ?? "");
    await expect(attempt).rejects.toMatchObject({
      code: "network-failed",
      message: expect.stringContaining("198.19.85.1-198.19.85.6"),
      hint: expect.stringContaining("network.subnet"),
    });
    expect(await lab.records()).not.toContain("pod-5.json");
    await network.detach("pod-0", signal());
    expect((await lab.attach(network, "pod-5", namespaces[5] ?? "")).ips).toEqual(["198.19.85.2"]);
  });

  test("that overlaps a network of the host is refused", async () => {
    const neighbour = await lab.neighbour();
    const subnet = `${neighbour.hostIP.split(".").slice(0, 3).join(".")}.0/24`;
    await expect(lab.network({ subnet }).start(signal())).rejects.toMatchObject({
      code: "network-failed",
      message: expect.stringContaining(`${subnet} overlaps`),
    });
  });

  test("a netns that is none is refused", async () => {
    const network = lab.network();
    await network.start(signal());
    const file = join(lab.paths.root, "no-netns");
    await writeFile(file, "");
    expect(await errorOf(lab.attach(network, "pod", file))).toContain("is no network namespace");
    expect(await lab.records()).toEqual([]);
  });
});
