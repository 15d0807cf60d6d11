/** Run by forward.test.ts in a network namespace of its own, where it may change the whole firewall. Prints JSON. */
import { exec } from "../../src/system/exec.ts";
import { freePort, Lab, signal } from "./lab.ts";

const chains = process.argv.slice(2);
const filterRules = async (): Promise<string> => (await exec("iptables", ["-S"])).stdout;

await exec("ip", ["link", "set", "lo", "up"]);
for (const rule of chains) await exec("iptables", rule.split(" "));
const lab = await Lab.open();
try {
  const before = await filterRules();
  const machine = await lab.neighbour();
  lab.serve(machine.netns, 99);
  const network = lab.network();
  await network.start(signal());
  await network.start(signal());
  const during = await filterRules();
  const [netns, port] = [await lab.netns(), await freePort()];
  await lab.attach(network, "pod", netns, [{ hostPort: port, containerPort: 80, protocol: "TCP" }]);
  lab.serve(netns, 80);
  const out = await lab.ask(netns, `${machine.ip}:99`);
  const inward = await lab.ask(machine.netns, `${machine.hostIP}:${port}`);
  await network.detach("pod", signal());
  await network.teardown(signal());
  const traces = await lab.traces();
  console.log(
    JSON.stringify({
      added: during.split("\n").filter((line) => line.includes(lab.bridge)).length,
      reachesOut: out === machine.hostIP,
      isReached: inward === machine.ip,
      restored: (await filterRules()) === before,
      traces,
    }),
  );
} finally {
  await lab.close();
}
