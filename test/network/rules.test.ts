import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { defaultSubnet } from "../../src/config/index.ts";
import { readForwardRules } from "../../src/network/forward.ts";
import { hostDns, parseResolvConf } from "../../src/network/host-dns.ts";
import { chooseSubnet } from "../../src/network/node.ts";
import { generateConflist, isGenerated, networkOf, ownNetwork } from "../../src/network/own-conflist.ts";
import { listeningInodes } from "../../src/network/port-check.ts";
import { podNetworks, portRules, tableText } from "../../src/network/port-rules.ts";
import { elementsIn } from "../../src/network/port-table.ts";
import type { AttachmentRecord } from "../../src/network/records.ts";
import { conflictingRoute, defaultInterface, widerRoute } from "../../src/network/routes.ts";

const record: AttachmentRecord = {
  version: 1,
  sandboxId: "web",
  podNamespace: "default",
  podName: "web",
  netns: "/run/netns/web",
  conflist: { name: "x", cniVersion: "1.0.0", plugins: [{ type: "bridge" }] },
  portMappings: [
    { hostPort: 8080, containerPort: 80, protocol: "TCP" },
    { hostPort: 53, containerPort: 5353, protocol: "UDP", hostIP: "192.0.2.1" },
    { hostPort: 99, containerPort: 99, protocol: "SCTP", hostIP: "0.0.0.0" },
  ],
  ownPorts: true,
  result: { ips: [{ address: "10.77.0.2/16", gateway: "10.77.0.1" }] },
};
const own = ownNetwork("", "10.77.0.0/16", 1500);

describe("the table", () => {
  test("has an element per mapping, SCTP too", () => {
    const text = tableText("gantry", own, [record]);
    expect(text).toContain("add element ip gantry ports { tcp . 8080 : 10.77.0.2 . 80 }");
    expect(text).toContain("add element ip gantry ports_of_ip { udp . 192.0.2.1 . 53 : 10.77.0.2 . 5353 }");
    expect(text).toContain("add element ip gantry ports { sctp . 99 : 10.77.0.2 . 99 }");
    expect(text).toContain("ip saddr 10.77.0.0/16 ip daddr != { 10.77.0.0/16, 224.0.0.0/4 } masquerade");
  });
  test("has none for a pod that is not through, or whose plugin does it", () => {
    const { result: _, ...intent } = record;
    expect(portRules(intent)).toEqual([]);
    expect(portRules({ ...record, ownPorts: false })).toEqual([]);
  });
  test("masquerades nothing in a network of the user's; overlapping networks are one", () => {
    const wide = { ...record, sandboxId: "wide", result: { ips: [{ address: "10.0.0.9/8" }] } };
    const text = tableText("gantry", undefined, [record, wide]);
    expect(text).not.toContain("!= {");
    expect(text).toContain("elements = { 10.0.0.0/8 };");
    expect(podNetworks(undefined, [record])).toEqual(["10.77.0.0/16"]);
  });
  test("is read back as nft lists it", () => {
    const elem = [[{ concat: ["tcp", 8080] }, { concat: ["10.77.0.2", 80] }]];
    const listing = {
      nftables: [{ metainfo: {} }, { map: { name: "ports", elem } }, { map: { name: "ports_of_ip" } }],
    };
    expect([...elementsIn(JSON.stringify(listing))]).toEqual(["ports tcp . 8080 : 10.77.0.2 . 80"]);
  });
});

describe("the own conflist", () => {
  const generated = generateConflist(own, "/run/gantry/cni-leases");
  test("is known as generated until it is edited", () => {
    expect(isGenerated(JSON.parse(JSON.stringify(generated)))).toBe(true);
    expect(isGenerated({ ...generated, name: "mine" })).toBe(false);
    expect(isGenerated({ name: "mine" })).toBe(false);
  });
  test("gives back the network that it was made from", () => {
    expect(networkOf(generated)).toEqual(own);
    expect(networkOf({ name: "mine" })).toBeUndefined();
  });
  test("names fit into the 15 characters of an interface", () =>
    expect(ownNetwork("abcdef", "10.0.0.0/16", 0).bridge).toBe("gntabcdef"));
});

describe("the pods' range", () => {
  const routes = [
    { dst: "default", dev: "eth0", gateway: "192.0.2.1", metric: 100 },
    { dst: "default", dev: "wlan0", gateway: "192.0.2.1", metric: 600 },
    { dst: "10.0.0.0/8", dev: "tun0", gateway: "10.8.0.1" },
    { dst: "172.17.0.0/16", dev: "docker0" },
  ];
  test("may be a part of what a VPN routes, but not a network that the host is in", () => {
    expect(conflictingRoute("10.77.0.0/16", routes, "gantry0")).toBeUndefined();
    expect(widerRoute("10.77.0.0/16", routes, "gantry0")?.dev).toBe("tun0");
    expect(conflictingRoute("172.16.0.0/12", routes, "gantry0")?.dev).toBe("docker0");
    expect(conflictingRoute("172.17.0.0/16", routes, "docker0")).toBeUndefined();
    expect(defaultInterface(routes)).toBe("eth0");
  });
  test("gives way when nobody chose it, and then stays", () => {
    const mine = defaultSubnet("abcdef");
    const taken = [{ dst: mine, dev: "gnt123456" }];
    const next = chooseSubnet("abcdef", mine, undefined, taken);
    expect(next).toBe(defaultSubnet("abcdef", 1));
    expect(chooseSubnet("abcdef", mine, ownNetwork("abcdef", next, 0), [])).toBe(next);
    expect(() => chooseSubnet("abcdef", "172.17.0.0/16", undefined, routes)).toThrow(
      "overlaps 172.17.0.0/16 (docker0)",
    );
    expect(() => chooseSubnet("", "10.77.0.0/16", undefined, [{ dst: "10.77.3.0/24", dev: "br0" }])).toThrow(
      "overlaps 10.77.3.0/24",
    );
  });
});

test("rules of others that drop what pods send are noticed", () => {
  const rules = ["-A FORWARD -i gantry0 -j ACCEPT", "-A FORWARD -o gantry0 -j ACCEPT"];
  expect(readForwardRules("-P FORWARD ACCEPT\n", "gantry0")).toEqual({ needed: false, present: false });
  expect(readForwardRules("-P FORWARD DROP\n", "gantry0")).toEqual({ needed: true, present: false });
  expect(readForwardRules("-P FORWARD ACCEPT\n-N DOCKER-USER\n", "gantry0")).toEqual({ needed: true, present: false });
  expect(readForwardRules(["-P FORWARD DROP", ...rules].join("\n"), "gantry0")).toEqual({
    needed: true,
    present: true,
  });
  expect(readForwardRules(["-P FORWARD DROP", rules[0]].join("\n"), "gantry0").present).toBe(false);
  expect(readForwardRules(["-P FORWARD DROP", ...rules].join("\n"), "gantry").present).toBe(false);
});

test("listening sockets are found in /proc/net, connected ones are not", () => {
  const table = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1 0 100 0 0 10 0
   1: 0100007F:1F90 0100007F:C001 01 00000000:00000000 00:00000000 00000000     0        0 4712 1 0 100 0 0 10 0
   2: 00000000:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4713 1 0 100 0 0 10 0`;
  expect(listeningInodes(table, 8080, "TCP")).toEqual(["4711"]);
});

describe("the host's DNS", () => {
  test("is read as resolv.conf(5) says", () => {
    expect(
      parseResolvConf(
        "# x\nnameserver 192.0.2.1\nnameserver 192.0.2.2 # second\ndomain a.test\nsearch b.test c.test\noptions ndots:2 edns0\n",
      ),
    ).toEqual({
      nameservers: ["192.0.2.1", "192.0.2.2"],
      searches: ["b.test", "c.test"],
      options: ["ndots:2", "edns0"],
    });
  });
  test("goes past the stub of systemd-resolved; other loopback servers are of no use to a pod", async () => {
    const folder = await mkdtemp(join(tmpdir(), "gantry-dns-"));
    const [stub, behind] = [join(folder, "stub"), join(folder, "behind")];
    await writeFile(stub, "nameserver 127.0.0.53\nsearch stub.test\n");
    await writeFile(behind, "nameserver 192.0.2.53\nsearch real.test\n");
    expect(await hostDns(stub, behind)).toMatchObject({ nameservers: ["192.0.2.53"], searches: ["real.test"] });
    expect(await hostDns(stub, join(folder, "none"))).toMatchObject({ nameservers: [], searches: ["stub.test"] });
    expect(await hostDns(join(folder, "none"), behind)).toEqual({ nameservers: [], searches: [], options: [] });
    await rm(folder, { recursive: true });
  });
});
