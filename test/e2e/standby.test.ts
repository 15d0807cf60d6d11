import { readdirSync } from "node:fs";
import { get } from "node:http";
import { join } from "node:path";
import { expect, test } from "vitest";
import { eventually, FOREVER, freePort, podText, shell, type TestHost, testHost } from "./harness.ts";

const MICROVM = { runtimeClassName: "microvm" };

/** Directories of VMs that wait. */
function waiting(host: TestHost): string[] {
  return readdirSync(join(host.paths.run, "vms")).filter((name) => name.startsWith(".standby-"));
}

/** Once the daemon has said so often that it has one. */
async function onStandby(host: TestHost, times: number): Promise<void> {
  const said = (): number => (host.daemon?.log() ?? "").split("is on standby").length - 1;
  await eventually(async () => said() >= times, { what: "a VM on standby", explain: () => host.explain() });
}

const answer = (port: number): Promise<string> =>
  new Promise((resolve) => {
    get({ port, host: "127.0.0.1" }, (response) => {
      response.setEncoding("utf8");
      response.on("data", resolve);
    }).on("error", () => resolve(""));
  });

test("the second pod gets the VM that waits: with its port, probes, exec; it survives the daemon, one that waits does not", async () => {
  await using host = testHost({ standby: 1 });
  await host.startDaemon();
  host.write("first.yaml", podText("first", [shell("app", FOREVER)], MICROVM));
  await host.waitReady("first");
  await onStandby(host, 1);

  const port = await freePort();
  const serve = `while :; do printf 'HTTP/1.0 200 OK\\r\\n\\r\\nhere' | nc -l -p 80; done`;
  const app = {
    ...shell("app", serve),
    ports: [{ containerPort: 80, hostPort: port }],
    readinessProbe: { tcpSocket: { port: 80 }, periodSeconds: 1 },
  };
  host.write("second.yaml", podText("second", [app], MICROVM));
  await host.waitReady("second");
  expect((await host.gantry("status", "-o", "wide")).stdout).toMatch(/^second .* (tcg|kvm), standby, \d+ ms /m);
  expect((await host.gantry("describe", "second")).stdout).toMatch(/boot +standby, \d+ ms/);
  expect((await host.gantry("exec", "second", "--", "hostname")).stdout).toBe("second\n");
  await eventually(async () => (await answer(port)) === "here", { what: "the answer at the port of the host" });

  await onStandby(host, 2);
  const [before] = waiting(host);
  await host.stopDaemon("SIGKILL");
  await host.startDaemon();
  await host.waitReady("second");
  expect((await host.gantry("exec", "second", "--", "hostname")).stdout).toBe("second\n");
  await eventually(async () => !waiting(host).includes(before ?? ""), { what: "the end of what waited" });
});
