import { expect, test } from "vitest";
import { resolveService } from "../../src/controller/service.ts";
import { type Pod, parseManifestText, type Service } from "../../src/manifest/index.ts";

function only<T>(text: string): T {
  const { objects, problems } = parseManifestText("f.yaml", text);
  expect(problems.filter(({ severity }) => severity === "error")).toEqual([]);
  return objects[0]?.object as T;
}

const pod = (name: string, app: string): Pod =>
  only(
    `apiVersion: v1\nkind: Pod\nmetadata: {name: ${name}, labels: {app: ${app}}}\nspec: {containers: [{name: app, image: "a:1", ports: [{name: http, containerPort: 8080}]}]}`,
  );

test("a Service stands for the ready pods that its selector finds, at the ports that they have", () => {
  const service: Service = only(
    "apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec: {selector: {app: web}, ports: [{name: http, port: 80, targetPort: http}, {name: other, port: 81, targetPort: none}]}",
  );
  const ready = { ready: true, deleting: false };
  const found = resolveService(service, [
    { pod: pod("b", "web"), ips: ["10.0.0.2"], ...ready },
    { pod: pod("a", "web"), ips: ["10.0.0.1"], ...ready },
    { pod: pod("c", "web"), ips: ["10.0.0.3"], ready: false, deleting: false },
    { pod: pod("d", "db"), ips: ["10.0.0.4"], ...ready },
  ]);
  expect(found.endpoints.map((endpoint) => [endpoint.pod, endpoint.ips, endpoint.ports])).toEqual([
    ["default/a", ["10.0.0.1"], [{ name: "http", protocol: "TCP", port: 80, targetPort: 8080 }]],
    ["default/b", ["10.0.0.2"], [{ name: "http", protocol: "TCP", port: 80, targetPort: 8080 }]],
  ]);
});
