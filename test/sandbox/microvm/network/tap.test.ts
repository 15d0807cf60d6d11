import { expect, test } from "vitest";
import { parseInterface } from "../../../../src/sandbox/microvm/network/tap.ts";

test("the guest gets what the CNI plugins gave the interface", () => {
  const address = `[{"ifname":"eth0","mtu":1400,"address":"3e:2e:ac:14:04:b4","addr_info":[
    {"family":"inet","local":"10.1.0.5","prefixlen":24,"scope":"global"},
    {"family":"inet6","local":"fd00::5","prefixlen":64,"scope":"global"},
    {"family":"inet6","local":"fe80::1","prefixlen":64,"scope":"link"}]}]`.replaceAll("\n", "");
  const ipv4 = `[{"dst":"default","gateway":"10.1.0.1"},{"dst":"10.1.0.0/24","prefsrc":"10.1.0.5"}]`;
  const ipv6 = `[{"dst":"fd00::/64"},{"dst":"default","gateway":"fd00::1"}]`;
  expect(parseInterface(`${address}\n\n${ipv4}\n\n${ipv6}\n`, "eth0")).toEqual({
    mac: "3e:2e:ac:14:04:b4",
    mtu: 1400,
    addresses: ["10.1.0.5/24", "fd00::5/64"],
    routes: [
      { destination: "default", gateway: "10.1.0.1" },
      { destination: "default", gateway: "fd00::1" },
    ],
  });
});

test.each(["", "[]", "Device does not exist", '[{"ifname":"eth0"}]'])("%j is a clear error", (output) => {
  expect(() => parseInterface(output, "eth0")).toThrow(/cannot make out the addresses of eth0/);
});
