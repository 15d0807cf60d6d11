import { createSocket } from "node:dgram";
import { Resolver } from "node:dns/promises";
import { once } from "node:events";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { defaultSubnet } from "../../src/config/index.ts";
import { objectText, podText } from "./harness/sketch.ts";
import { eventually, RUNTIME_CLASSES, type TestHost, testHost } from "./harness.ts";

type Json = Readonly<Record<string, unknown>>;

const serviceText = (name: string, spec: Json): string => objectText("Service", name, { spec });

/** A pod of the Service `web` that tells its name on port 8080. */
function webText(name: string, spec: Json = {}, container: Json = {}): string {
  const app = {
    command: ["sh", "-c", "mkdir -p /w; hostname > /w/name; exec httpd -f -p 8080 -h /w"],
    ports: [{ name: "http", containerPort: 8080 }],
    ...container,
  };
  return podText(name, app, spec).replace('"name"', '"labels": { "app": "web" }, "name"');
}

/** The gateway of a host's pods, where their name server listens. */
function gatewayOf(host: TestHost): string {
  return defaultSubnet(host.paths.rootId).replace(/\.0\/\d+$/, ".1");
}

async function lookUp(host: TestHost, name: string): Promise<string[]> {
  const resolver = new Resolver({ timeout: 1000, tries: 1 });
  resolver.setServers([gatewayOf(host)]);
  return (await resolver.resolve4(name)).sort();
}

async function specOf(host: TestHost, name: string): Promise<{ clusterIP: string; ports: { nodePort: number }[] }> {
  return JSON.parse((await host.api("GET", `/api/v1/namespaces/default/services/${name}`)).body).spec;
}

async function inside(host: TestHost, pod: string, script: string): Promise<string> {
  const { stdout, stderr } = await host.gantry("exec", pod, "--", "sh", "-c", script);
  return `${stdout}${stderr}`;
}

async function get(url: string): Promise<string> {
  return (await fetch(url, { signal: AbortSignal.timeout(5_000), headers: { connection: "close" } })).text();
}

describe.each(RUNTIME_CLASSES)("%s", (runtimeClass) => {
  let host: TestHost;
  beforeAll(async () => {
    host = testHost({ runtimeClass });
    await host.startDaemon();
  });
  afterAll(() => host.dispose());

  test("pods find a Service by its name, and each other; only ready pods are behind it", async () => {
    host.write(
      "web.yaml",
      serviceText("web", { selector: { app: "web" }, type: "NodePort", ports: [{ port: 80, targetPort: "http" }] }),
    );
    host.write("peers.yaml", serviceText("peers", { selector: { app: "web" }, clusterIP: "None" }));
    host.write("none.yaml", serviceText("none", { selector: { app: "none" }, ports: [{ port: 80 }] }));
    await eventually(async () => (await specOf(host, "none")).clusterIP !== undefined, { what: "an address" });
    host.write("one.yaml", webText("one", { hostname: "first", subdomain: "peers", setHostnameAsFQDN: true }));
    const probe = { readinessProbe: { exec: { command: ["test", "-f", "/tmp/ready"] }, periodSeconds: 1 } };
    host.write("two.yaml", webText("two", {}, probe));
    const one = await host.waitReady("one");
    const two = await host.waitFor("two", (pod) => pod.status.phase === "Running", "Running");
    const full = "first.peers.default.svc.cluster.local";
    await eventually(async () => (await lookUp(host, full))[0] === one.status.podIP, {
      what: "a name",
      explain: () => host.explain(),
    });
    const { clusterIP, ports } = await specOf(host, "web");
    const nodePort = ports[0]?.nodePort;

    const asks = [
      "http://web/",
      "http://web.default/",
      "http://web.default.svc.cluster.local/",
      "http://first.peers:8080/",
    ];
    const script = [
      ...asks.map((url) => `wget -q -O - ${url}name`),
      "wget -q -O - http://two.default:8080/name",
      "hostname",
      "grep -c first.peers /etc/hosts",
      "echo $WEB_SERVICE_HOST:$WEB_SERVICE_PORT",
      "wget -q -O - http://none/",
    ].join("; ");
    const answers = await eventually(
      async () => {
        const text = await inside(host, "one", script);
        return text.includes("two\n") ? text : undefined;
      },
      { what: "names and Services in the pod", explain: () => host.explain() },
    );
    const lines = answers.trim().split("\n");
    expect(lines.slice(0, 8)).toEqual([full, full, full, full, "two", full, "1", `${clusterIP}:80`]);
    expect(lines[8]).toMatch(/Connection refused/);
    expect(await lookUp(host, "peers.default.svc.cluster.local")).toEqual([one.status.podIP]);

    // From the host, by the address and by the port of the node.
    for (const url of [`http://${clusterIP}/name`, `http://127.0.0.1:${nodePort}/name`])
      expect(await get(url)).toBe(`${full}\n`);
    await inside(host, "two", "touch /tmp/ready");
    await host.waitReady("two");
    const seen = new Set<string>();
    await eventually(async () => seen.add(await get(`http://${clusterIP}/name`)).size === 2, { what: "both pods" });
    expect((await lookUp(host, "peers.default.svc.cluster.local")).length).toBe(2);
    const described = (await host.gantry("describe", "service/web")).stdout;
    expect(described).toContain(`${one.status.podIP}:8080, ${two.status.podIP}:8080`);
    expect(described).toContain(`${clusterIP} 80:${nodePort}/TCP`);
  });

  test("names and Services go on without the daemon; the next one keeps the addresses", async () => {
    const { clusterIP } = await specOf(host, "web");
    await host.stopDaemon("SIGKILL");
    expect(await get(`http://${clusterIP}/name`)).toMatch(/first|two/);
    expect(await lookUp(host, "web.default.svc.cluster.local")).toEqual([clusterIP]);
    await host.startDaemon();
    expect((await specOf(host, "web")).clusterIP).toBe(clusterIP);
    expect(await get(`http://${clusterIP}/name`)).toMatch(/first|two/);
    host.remove("one.yaml");
    host.remove("two.yaml");
    await host.waitGone("one");
    await host.waitGone("two");
    await eventually(
      async () => {
        const [error] = await Promise.allSettled([get(`http://${clusterIP}/name`)]);
        return error.status === "rejected" && String(error.reason.cause).includes("ECONNREFUSED");
      },
      { what: "a refusal", explain: () => host.explain() },
    );
  });
});

test("UDP, the ports of the node, and what can't be: told with its line", async () => {
  await using host = testHost();
  await host.startDaemon();
  const server = createSocket("udp4").bind(0);
  await once(server, "listening");
  server.on("message", (message, from) => server.send(`you said ${message}`, from.port, from.address));
  const { port } = server.address();
  // The host's own server is what a pod with hostNetwork would be.
  host.write(
    "echo.yaml",
    serviceText("echo", { selector: { app: "web" }, ports: [{ port: 53, protocol: "UDP", targetPort: port }] }),
  );
  host.write(
    "taken.yaml",
    serviceText("taken", {
      type: "NodePort",
      ports: [{ port: 1, protocol: "UDP", nodePort: port }],
      selector: { app: "web" },
    }),
  );
  host.write(
    "far.yaml",
    serviceText("far", { clusterIP: "192.0.2.1", ports: [{ port: 1 }], selector: { app: "web" } }),
  );
  host.write("policy.yaml", "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: { name: p }\nspec: {}\n");
  host.write(
    "host.yaml",
    podText("host", {}, { hostNetwork: true }).replace('"name"', '"labels": { "app": "web" }, "name"'),
  );
  await host.waitReady("host");
  const { clusterIP } = await specOf(host, "echo");
  const client = createSocket("udp4");
  const answers: string[] = [];
  client.on("message", (message) => answers.push(message.toString()));
  await eventually(
    () => {
      client.send("hello", 53, clusterIP);
      return answers.includes("you said hello");
    },
    { what: "an answer", explain: () => host.explain() },
  );
  const told = [
    /taken\.yaml:\d+:\d+: .*port \d+\/UDP of the host is used by/s,
    /far\.yaml:\d+:\d+: .*192\.0\.2\.1 is no address for Services here/s,
    /policy\.yaml:2:\d+: .*NetworkPolicy is not supported.*every pod of this host reaches every other/s,
  ];
  await eventually(
    async () => {
      const { stdout } = await host.gantry("status");
      return told.every((pattern) => pattern.test(stdout));
    },
    { what: "the errors in status", explain: () => host.explain() },
  );
  client.close();
  server.close();
});

test("another program on the port of the name server: pods start with the host's names, and status says why", async () => {
  await using host = testHost();
  await host.startDaemon();
  await host.stopDaemon("SIGKILL"); // the bridge stays
  const other = createSocket("udp4").bind(53, gatewayOf(host));
  await once(other, "listening");
  await host.startDaemon();
  host.write("pod.yaml", podText("pod"));
  await host.waitReady("pod");
  expect(await inside(host, "pod", "cat /etc/resolv.conf")).not.toContain(gatewayOf(host));
  expect((await host.gantry("status")).stdout).toContain(`port 53 of ${gatewayOf(host)} is used by`);
  other.close();
});
