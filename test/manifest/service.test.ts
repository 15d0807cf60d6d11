import { expect, test } from "vitest";
import { parseManifestText } from "../../src/manifest/index.ts";

/** What is said about a Service or Pod with this spec: "error spec.type: …". */
function said(kind: string, spec: object): string[] {
  const object = { apiVersion: "v1", kind, metadata: { name: "web" }, spec };
  return parseManifestText("f.yaml", JSON.stringify(object))
    .problems.concat(parseManifestText("f.yaml", JSON.stringify(object)).objects.flatMap(({ warnings }) => warnings))
    .map(({ severity, field, message }) => `${severity} ${field}: ${message}`);
}

const PORTS = { ports: [{ port: 80 }] };

test.each<[string, object, string]>([
  ["an ExternalName", { type: "ExternalName", externalName: "a.example" }, "error spec.type: "],
  ["a LoadBalancer", { ...PORTS, type: "LoadBalancer" }, "warning spec.type: is treated as ClusterIP"],
  ["an address that is none", { ...PORTS, clusterIP: "10.0.0" }, 'error spec.clusterIP: "10.0.0" is no IPv4 address'],
  ["an IPv6 address", { ...PORTS, clusterIP: "fe80::1" }, "error spec.clusterIP: "],
  ["IPv6", { ...PORTS, ipFamilies: ["IPv6"] }, "error spec.ipFamilies: pods here have IPv4"],
  ["a node port of a ClusterIP", { ports: [{ port: 80, nodePort: 30080 }] }, "error spec.ports[0].nodePort: "],
  ["a headless NodePort", { ...PORTS, type: "NodePort", clusterIP: "None" }, "error spec.clusterIP: None is for"],
  ["addresses of others", { ...PORTS, externalIPs: ["192.0.2.1"] }, "error spec.externalIPs: "],
])("a Service with %s", (_, spec, expected) => {
  expect(said("Service", spec)).toEqual(expect.arrayContaining([expect.stringContaining(expected)]));
});

test.each<[string, object]>([
  ["ClusterIP", { ...PORTS, clusterIP: "10.79.0.9", clusterIPs: ["10.79.0.9"], sessionAffinity: "ClientIP" }],
  ["NodePort", { type: "NodePort", ports: [{ port: 80, nodePort: 30080 }], externalTrafficPolicy: "Local" }],
  ["headless", { clusterIP: "None", selector: { app: "web" }, publishNotReadyAddresses: true }],
])("a Service that is taken as it is: %s", (_, spec) => expect(said("Service", spec)).toEqual([]));

test("host names of pods: an override stands alone", () => {
  const pod = { containers: [{ name: "a", image: "b:1" }] };
  expect(said("Pod", { ...pod, subdomain: "peers", setHostnameAsFQDN: true, hostname: "h" })).toEqual([]);
  expect(said("Pod", { ...pod, hostnameOverride: "a.b" })).toEqual([]);
  const both = said("Pod", { ...pod, hostnameOverride: "a".repeat(63), setHostnameAsFQDN: true, hostNetwork: true });
  expect(both.map((text) => text.split(":")[0])).toEqual([
    "error spec.hostnameOverride",
    "error spec.hostnameOverride",
  ]);
});

test("a NetworkPolicy is refused, with what to do", () => {
  const text = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: { name: p }\nspec: {}\n";
  const [problem] = parseManifestText("f.yaml", text).problems;
  expect(problem).toMatchObject({ place: { line: 2, column: 7 }, message: "NetworkPolicy is not supported" });
  expect(problem?.hint).toContain("every pod of this host reaches every other");
});
