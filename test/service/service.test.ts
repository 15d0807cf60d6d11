import { expect, test } from "vitest";
import { parseCidr } from "../../src/config/cidr.ts";
import { defaultServiceSubnet } from "../../src/config/index.ts";
import { type Candidate, resolveService } from "../../src/controller/service.ts";
import { type Pod, parseManifestText, type Service } from "../../src/manifest/index.ts";
import { assign, type Claimant } from "../../src/service/addresses.ts";
import type { Assigned, Served } from "../../src/service/contract.ts";
import { fingerprint } from "../../src/service/host-rules.ts";
import { linkVariables } from "../../src/service/links.ts";
import { namesText } from "../../src/service/names.ts";
import { chooseRange } from "../../src/service/range.ts";
import { serviceTableText } from "../../src/service/rules.ts";
import { slicesOf } from "../../src/service/slices.ts";

function only<T>(text: string): T {
  const { objects, problems } = parseManifestText("f.yaml", text);
  expect(problems.filter(({ severity }) => severity === "error")).toEqual([]);
  return objects[0]?.object as T;
}

const service = (name: string, spec: object): Service =>
  only(JSON.stringify({ apiVersion: "v1", kind: "Service", metadata: { name }, spec }));

const pod = (name: string, spec: object = {}): Pod => {
  const containers = [{ name: "app", image: "a:1", ports: [{ name: "http", containerPort: 8080 }] }];
  const metadata = { name, labels: { app: "web" } };
  return only(JSON.stringify({ apiVersion: "v1", kind: "Pod", metadata, spec: { containers, ...spec } }));
};

const ready = (name: string, ip: string, spec: object = {}): Candidate => ({
  pod: pod(name, spec),
  ips: [ip],
  ready: true,
  deleting: false,
});

const WEB = { selector: { app: "web" }, ports: [{ port: 80, targetPort: "http" }] };
const GIVEN: Assigned = { clusterIP: "10.79.0.9", nodePorts: {} };

function served(one: Service, pods: readonly Candidate[], given: Assigned = GIVEN): Served {
  return { service: one, resolved: resolveService(one, pods), ...given };
}

const RANGE = parseCidr("10.79.0.0/28");
const claim = (name: string, spec: object = WEB, before: Partial<Assigned> = {}): Claimant => ({
  key: `default/${name}`,
  service: service(name, spec),
  before,
});
const addresses = (claimants: readonly Claimant[], range = RANGE): (string | undefined)[] => {
  const { byKey } = assign(claimants, range, new Map());
  return claimants.map(({ key }) => byKey.get(key)?.clusterIP);
};

test("addresses: by the name, whoever else is there; what a Service had it keeps; written ones are honoured", () => {
  const [alone] = addresses([claim("web")]);
  expect(addresses([claim("db"), claim("web")])[1]).toBe(alone);
  expect(addresses([claim("web", WEB, { clusterIP: "10.79.0.7" })])).toEqual(["10.79.0.7"]);
  // One of another range is not kept.
  expect(addresses([claim("web", WEB, { clusterIP: "10.1.0.7" })])).toEqual([alone]);
  const fixed = { ...WEB, clusterIP: alone };
  const [other, own] = addresses([claim("web"), claim("fixed", fixed)]);
  expect(own).toBe(alone);
  expect(other).not.toBe(alone);
  expect(addresses([claim("peers", { ...WEB, clusterIP: "None" })])).toEqual(["None"]);
  expect(assign([claim("web")], undefined, new Map()).byKey.get("default/web")?.clusterIP).toBe(undefined);
});

test("addresses: each is there once, neither the network's nor the broadcast one; the one too many is told", () => {
  const claimants = Array.from({ length: 15 }, (_, index) => claim(`s${index}`));
  const { byKey, refusals } = assign(claimants, RANGE, new Map());
  const given = [...byKey.values()].flatMap(({ clusterIP }) => clusterIP ?? []);
  expect(new Set(given).size).toBe(14);
  expect(given.some((address) => ["10.79.0.0", "10.79.0.15"].includes(address))).toBe(false);
  expect(refusals).toMatchObject([{ field: "spec", message: "there is no address left in 10.79.0.0/28" }]);
});

test("addresses that can't be are refused: out of the range, or another Service's", () => {
  const [a, b] = [claim("a", { ...WEB, clusterIP: "10.79.0.3" }), claim("b", { ...WEB, clusterIP: "10.79.0.3" })];
  const { refusals } = assign([a, b, claim("c", { ...WEB, clusterIP: "192.0.2.1" })], RANGE, new Map());
  expect(refusals.map(({ key, field, message }) => [key, field, message])).toEqual([
    ["default/b", "spec.clusterIP", "10.79.0.3 is the address of Service default/a"],
    ["default/c", "spec.clusterIP", "192.0.2.1 is no address for Services here: they are from 10.79.0.0/28"],
  ]);
});

test("node ports: written, kept or chosen; never one that a pod or another program has", () => {
  const spec = (nodePort?: number) => ({
    ...WEB,
    type: "NodePort",
    ports: [{ port: 80, ...(nodePort && { nodePort }) }],
  });
  const held = new Map([["30080/TCP", "pod default/x"]]);
  const { byKey, refusals } = assign(
    [claim("a", spec(30080)), claim("b", spec(30081)), claim("c", spec())],
    RANGE,
    held,
  );
  expect(byKey.get("default/a")?.nodePorts).toEqual({});
  expect(refusals).toMatchObject([
    { field: "spec.ports[0].nodePort", message: "port 30080/TCP of the host is used by pod default/x" },
  ]);
  expect(byKey.get("default/b")?.nodePorts).toEqual({ "80/TCP": 30081 });
  const chosen = byKey.get("default/c")?.nodePorts["80/TCP"] ?? 0;
  expect(chosen).toBeGreaterThanOrEqual(30_000);
  const again = assign([claim("c", spec(), { nodePorts: { "80/TCP": 31_999 } })], RANGE, new Map());
  expect(again.byKey.get("default/c")?.nodePorts).toEqual({ "80/TCP": 31_999 });
});

test("names: of Services, of the pods behind a headless one, of pods by themselves", () => {
  const peers = service("peers", { clusterIP: "None", selector: { app: "web" } });
  const pods = [ready("a", "10.0.0.1", { hostname: "first", subdomain: "peers" }), ready("b", "10.0.0.2")];
  const text = namesText(
    "cluster.local",
    [{ namespace: "default", name: "a", ips: ["10.0.0.1"] }],
    [served(service("web", WEB), pods), served(peers, pods, { clusterIP: "None", nodePorts: {} })],
  );
  expect(text.split("\n")).toEqual([
    "10.0.0.1\ta.default.pod.cluster.local a.default.cluster.local 10-0-0-1.default.pod.cluster.local",
    "10.79.0.9\tweb.default.svc.cluster.local",
    "10.0.0.1\t10-0-0-1.web.default.svc.cluster.local",
    "10.0.0.2\t10-0-0-2.web.default.svc.cluster.local",
    "10.0.0.1\tpeers.default.svc.cluster.local",
    "10.0.0.1\tfirst.peers.default.svc.cluster.local",
    "10.0.0.2\tpeers.default.svc.cluster.local",
    "10.0.0.2\t10-0-0-2.peers.default.svc.cluster.local",
    "",
  ]);
  // What no question can hold is left out.
  expect(namesText("x", [{ namespace: "default", name: "n".repeat(64), ips: ["10.0.0.1"] }], [])).toBe(
    "10.0.0.1\t10-0-0-1.default.pod.x\n",
  );
});

test("only pods that are ready are behind a Service, unless it publishes the others, too", () => {
  const pods = [ready("a", "10.0.0.1"), { ...ready("b", "10.0.0.2"), ready: false }];
  const behind = (spec: object) => resolveService(service("web", spec), pods).endpoints.map(({ pod: key }) => key);
  expect(behind(WEB)).toEqual(["default/a"]);
  expect(behind({ ...WEB, publishNotReadyAddresses: true })).toEqual(["default/a", "default/b"]);
});

function tableOf(services: readonly Served[]): string {
  const dns = { server: "10.77.0.1", bridge: "gantry0" };
  return serviceTableText({ table: "t", range: "10.79.0.0/16", dns, services });
}

test("rules: one pod, several, none; what is nobody's is refused", () => {
  const web = service("web", WEB);
  const one = tableOf([served(web, [ready("a", "10.0.0.1")], { ...GIVEN, nodePorts: { "80/TCP": 30080 } })]);
  expect(one).toContain("dnat ip to 10.0.0.1:8080");
  expect(one).toMatch(/10\.79\.0\.9 \. tcp \. 80 : goto service_[0-9a-f]+_tcp_80/);
  expect(one).toMatch(/tcp \. 30080 : goto service_/);
  expect(one).toContain("ip daddr 10.79.0.0/16 jump refuse");
  const two = tableOf([served(web, [ready("a", "10.0.0.1"), ready("b", "10.0.0.2")])]);
  expect(two).toContain("numgen random mod 2 map { 0 : 10.0.0.1 . 8080, 1 : 10.0.0.2 . 8080 }");
  expect(tableOf([served(web, [])])).not.toContain("goto");
  expect(
    tableOf([
      served(service("p", { ...WEB, clusterIP: "None" }), [ready("a", "10.0.0.1")], {
        clusterIP: "None",
        nodePorts: {},
      }),
    ]),
  ).not.toContain("goto");
});

test("session affinity: when a pod goes, only its own share of the clients moves", () => {
  const sticky = service("web", { ...WEB, sessionAffinity: "ClientIP" });
  const pods = [ready("a", "10.0.0.1"), ready("b", "10.0.0.2"), ready("c", "10.0.0.3")];
  const slots = (list: readonly Candidate[]) =>
    [...tableOf([served(sticky, list)]).matchAll(/(\d+) : (10\.0\.0\.\d) \. 8080/g)].map(([, slot, ip]) => [slot, ip]);
  const [before, after] = [slots(pods), slots(pods.slice(0, 2))];
  expect(before).toHaveLength(64);
  expect(new Set(before.map(([, ip]) => ip)).size).toBe(3);
  for (const [index, [slot, ip]] of before.entries()) if (ip !== "10.0.0.3") expect(after[index]).toEqual([slot, ip]);
});

test("links: the variables that the kubelet sets", () => {
  const ports = [
    { name: "http", port: 80, protocol: "TCP" },
    { name: "dns-udp", port: 53, protocol: "UDP" },
  ];
  const variables = linkVariables([{ name: "my-web", clusterIP: "10.79.0.9", ports }]);
  expect(Object.fromEntries(variables.map(({ name, value }) => [name, value]))).toEqual({
    MY_WEB_SERVICE_HOST: "10.79.0.9",
    MY_WEB_SERVICE_PORT: "80",
    MY_WEB_SERVICE_PORT_HTTP: "80",
    MY_WEB_SERVICE_PORT_DNS_UDP: "53",
    MY_WEB_PORT: "tcp://10.79.0.9:80",
    MY_WEB_PORT_80_TCP: "tcp://10.79.0.9:80",
    MY_WEB_PORT_80_TCP_PROTO: "tcp",
    MY_WEB_PORT_80_TCP_PORT: "80",
    MY_WEB_PORT_80_TCP_ADDR: "10.79.0.9",
    MY_WEB_PORT_53_UDP: "udp://10.79.0.9:53",
    MY_WEB_PORT_53_UDP_PROTO: "udp",
    MY_WEB_PORT_53_UDP_PORT: "53",
    MY_WEB_PORT_53_UDP_ADDR: "10.79.0.9",
  });
});

test("the range: the next one where nobody chose it, a sentence where somebody did", () => {
  const routes = [{ dst: "10.79.0.0/24", dev: "tun0" }];
  const ask = { rootId: "", podSubnet: "10.77.0.0/16", routes, bridge: "gantry0" };
  expect(chooseRange({ ...ask, configured: defaultServiceSubnet("") })).toEqual({ range: "10.80.0.0/16" });
  expect(chooseRange({ ...ask, configured: "10.79.0.0/20" })).toEqual({
    trouble:
      "Services have no addresses: 10.79.0.0/20 overlaps the host's 10.79.0.0/24 (tun0); set network.serviceSubnet in config.yaml to a free range",
  });
  expect(chooseRange({ ...ask, configured: "10.77.128.0/20" })).toHaveProperty("trouble");
  // Our own route is no obstacle.
  const own = [{ dst: "10.79.0.0/16", dev: "gantry0" }];
  expect(chooseRange({ ...ask, routes: own, configured: "10.79.0.0/16" })).toEqual({ range: "10.79.0.0/16" });
});

test("slices: who is behind a Service, for kubectl", () => {
  const one = served(service("web", WEB), [ready("a", "10.0.0.1"), ready("b", "10.0.0.2")]);
  expect(slicesOf({ served: one, uid: "u", createdAt: 0, nodeName: "n" })).toMatchObject([
    {
      kind: "EndpointSlice",
      metadata: { labels: { "kubernetes.io/service-name": "web" } },
      ports: [{ port: 8080, protocol: "TCP" }],
      endpoints: [{ addresses: ["10.0.0.1"], targetRef: { name: "a" } }, { addresses: ["10.0.0.2"] }],
    },
  ]);
});

test("a table is known again, however nft words it", () => {
  const text = tableOf([served(service("web", WEB), [ready("a", "10.0.0.1"), ready("b", "10.0.0.2")])]);
  const listed = text
    .replace("priority -100", "priority dstnat")
    .replace("meta l4proto tcp dnat ip to", "dnat ip to")
    .replace(/elements = \{ /, "elements = {\n\t\t\t ");
  expect(fingerprint(listed)).toBe(fingerprint(text));
  expect(fingerprint(text.replace("1 : 10.0.0.2 . 8080", "1 : 10.0.0.3 . 8080"))).not.toBe(fingerprint(text));
  expect(fingerprint(text.replace("ip daddr 10.79.0.0/16 jump refuse", ""))).not.toBe(fingerprint(text));
});
