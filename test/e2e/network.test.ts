import { execFileSync } from "node:child_process";
import { createSocket } from "node:dgram";
import { mkdirSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { podText } from "./harness/sketch.ts";
import { eventually, type PodView, RUNTIME_CLASSES, type TestHost, testHost } from "./harness.ts";

let host: TestHost;
const WEB = { command: ["sh", "-c", "hostname > /www/name; exec httpd -f -p 80 -h /www"] };

async function fetchText(url: string): Promise<string> {
  return eventually(async () => (await fetch(url)).text(), { what: url, explain: () => host.explain() });
}

async function freePort(): Promise<number> {
  const server = createServer();
  const port = await new Promise<number>((resolve) => {
    server.listen(0, () => {
      const address = server.address();
      resolve(typeof address === "object" && address !== null ? address.port : 0);
    });
  });
  await new Promise((resolve) => server.close(resolve));
  return port;
}

describe.each(RUNTIME_CLASSES)("%s", (runtimeClass) => {
  beforeAll(async () => {
    host = testHost({ runtimeClass });
    await host.startDaemon();
  });
  afterAll(() => host.dispose());

  test("pods reach each other; a host port is reached from the host, by every address", async () => {
    const [one, two] = [await freePort(), await freePort()];
    host.write("one.yaml", podText("one", { ...WEB, ports: [{ containerPort: 80, hostPort: one }] }));
    host.write(
      "two.yaml",
      podText("two", { ...WEB, ports: [{ containerPort: 80, hostPort: two, hostIP: "127.0.0.1" }] }),
    );
    const pods = [await host.waitReady("one"), await host.waitReady("two")];
    const [first, second] = pods;
    expect(new Set(pods.map((pod) => pod.status.podIP)).size).toBe(2);
    expect(await fetchText(`http://${first?.status.podIP}/name`)).toBe("one\n");
    expect(await fetchText(`http://127.0.0.1:${one}/name`)).toBe("one\n");
    expect(await fetchText(`http://${first?.status.hostIP}:${one}/name`)).toBe("one\n");
    expect(await fetchText(`http://127.0.0.1:${two}/name`)).toBe("two\n");
    // Bound to one address, it is not on the others.
    await expect(
      fetch(`http://${first?.status.hostIP}:${two}/name`, { signal: AbortSignal.timeout(3_000) }),
    ).rejects.toThrow();
    const ask = async (from: string, address: string, port: number): Promise<string | undefined> => {
      const script = `printf 'GET /name HTTP/1.0\\r\\n\\r\\n' | nc -w 5 ${address} ${port}`;
      const { stdout } = await host.gantry("exec", from, "--", "sh", "-c", script);
      return stdout.split("\r\n\r\n")[1];
    };
    expect(await ask("one", `${second?.status.podIP}`, 80)).toBe("two\n");
    expect(await ask("two", `${first?.status.podIP}`, 80)).toBe("one\n");
    expect(await ask("two", `${first?.status.hostIP}`, one)).toBe("one\n");
    // Its own host port, by way of the host.
    expect(await ask("one", `${first?.status.hostIP}`, one)).toBe("one\n");

    const ip = (pod: PodView): string | undefined => pod.status.podIP;
    await host.gantry("restart", "one");
    const again = await host.waitReady("one");
    expect(ip(again)).toBe(first?.status.podIP);
    expect(await fetchText(`http://127.0.0.1:${one}/name`)).toBe("one\n");

    const rules = execFileSync("nft", ["list", "ruleset"], { encoding: "utf8" });
    expect(rules).toContain(host.paths.rootId);
    expect(rules).toMatch(/masquerade/);

    host.remove("one.yaml");
    await host.waitGone("one");
    await expect(fetch(`http://127.0.0.1:${one}/name`, { signal: AbortSignal.timeout(3_000) })).rejects.toThrow();
    expect(await fetchText(`http://127.0.0.1:${two}/name`)).toBe("two\n");
    host.remove("two.yaml");
    await host.waitGone("two");
  });

  test("a conflist of the user's own", async () => {
    await using own = testHost({ runtimeClass });
    const folder = join(own.paths.etc, "cni/net.d");
    mkdirSync(folder, { recursive: true });
    const bridge = `e2e${own.paths.rootId}`.slice(0, 15);
    const conflist = {
      cniVersion: "1.0.0",
      name: `mine-${own.paths.rootId}`,
      plugins: [
        {
          type: "bridge",
          bridge,
          isGateway: true,
          ipMasq: false,
          ipam: {
            type: "host-local",
            dataDir: join(own.directory, "leases"),
            ranges: [[{ subnet: "10.213.7.0/24" }]],
            routes: [{ dst: "0.0.0.0/0" }],
          },
        },
      ],
    };
    writeFileSync(join(folder, "05-mine.conflist"), JSON.stringify(conflist));
    await own.startDaemon();
    own.write("mine.yaml", podText("mine", WEB));
    const { status } = await own.waitReady("mine");
    expect(status.podIP).toMatch(/^10\.213\.7\.\d+$/);
    expect(await fetchText(`http://${status.podIP}/name`)).toBe("mine\n");
    own.remove("mine.yaml");
    await own.waitGone("mine");
    // The bridge is the user's: it is not Gantry's to take away.
    execFileSync("ip", ["link", "del", bridge]);
  });

  // What serves UDP is borrowed from the host.
  if (runtimeClass === "namespace")
    test("UDP, there and back", async () => {
      const port = await freePort();
      const echo =
        "const s = require('dgram').createSocket('udp4'); s.on('message', (m, from) => s.send('you said ' + m, from.port, from.address)); s.bind(5000)";
      // The sample image has nothing that serves UDP, so it borrows the host's Node.js.
      const volumes = [
        { name: "node", hostPath: { path: process.execPath, type: "File" } },
        { name: "lib", hostPath: { path: "/usr/lib", type: "Directory" } },
        { name: "lib64", hostPath: { path: "/lib64", type: "Directory" } },
      ];
      const volumeMounts = [
        { name: "node", mountPath: "/node", readOnly: true },
        { name: "lib", mountPath: "/lib", readOnly: true },
        { name: "lib64", mountPath: "/lib64", readOnly: true },
      ];
      const ports = [{ containerPort: 5000, hostPort: port, protocol: "UDP" }];
      host.write("udp.yaml", podText("udp", { command: ["/node", "-e", echo], ports, volumeMounts }, { volumes }));
      await host.waitReady("udp");
      const socket = createSocket("udp4");
      const answers: string[] = [];
      socket.on("message", (message) => answers.push(message.toString()));
      await eventually(
        () => {
          socket.send("hello", port, "127.0.0.1");
          return answers.includes("you said hello");
        },
        { what: "an answer", explain: () => host.explain() },
      );
      socket.close();
      host.remove("udp.yaml");
      await host.waitGone("udp");
    });
});

test("pods of different runtime classes reach each other, both ways", async () => {
  await using host = testHost();
  await host.startDaemon();
  host.write("process.yaml", podText("process", WEB));
  host.write("machine.yaml", podText("machine", WEB, { runtimeClassName: "microvm" }));
  const [process, machine] = [await host.waitReady("process"), await host.waitReady("machine")];
  const ask = async (from: string, { status }: PodView): Promise<string> => {
    const script = `wget -q -O - http://${status.podIP}/name`;
    return (await host.gantry("exec", from, "--", "sh", "-c", script)).stdout;
  };
  await eventually(async () => (await ask("process", machine)) === "machine\n", { what: "an answer of the micro-VM" });
  await eventually(async () => (await ask("machine", process)) === "process\n", { what: "an answer of the other" });
});
