/** What controllers are written with: @kubernetes/client-node's lists, informers and patches against the API. */
import {
  AppsV1Api,
  AuthenticationV1Api,
  CoreV1Api,
  KubeConfig,
  makeInformer,
  PatchStrategy,
  setHeaderOptions,
} from "@kubernetes/client-node";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type LoopbackPort, loopbackPort } from "../support/kubectl.ts";
import { type Served, serve, until } from "./fake-backend.ts";

let served: Served;
let port: LoopbackPort;
const config = new KubeConfig();
beforeEach(async () => {
  served = await serve({ watchCapacity: 20 });
  served.backend.put("web", { app: "web" });
  port = await loopbackPort(() => served.socketPath);
  config.loadFromClusterAndUser({ name: "gantry", server: port.url, skipTLSVerify: true }, { name: "root" });
});
afterEach(async () => {
  await port.close();
  await served.close();
});

test("an informer keeps up, and begins anew when it has missed too much", async () => {
  const api = config.makeApiClient(CoreV1Api);
  const informer = makeInformer(config, "/api/v1/namespaces/default/pods", () =>
    api.listNamespacedPod({ namespace: "default" }),
  );
  const seen: string[] = [];
  for (const event of ["add", "update", "delete"] as const)
    informer.on(event, (pod) => seen.push(`${event} ${pod.metadata?.name}`));
  await informer.start();
  await until(() => seen.length === 1, "what there is");
  served.backend.put("db");
  served.backend.put("db");
  served.backend.remove("web");
  await until(() => seen.length === 4, "the changes");
  expect(seen).toEqual(["add web", "add db", "update db", "delete web"]);
  expect(informer.get("db", "default")?.metadata?.name).toBe("db");
  await informer.stop();
});

test("lists go on where they ended", async () => {
  for (const name of ["a", "b", "c"]) served.backend.put(name);
  const api = config.makeApiClient(CoreV1Api);
  const names: (string | undefined)[] = [];
  let token: string | undefined;
  do {
    const page = await api.listNamespacedPod({
      ...{ namespace: "default", limit: 2 },
      ...(token !== undefined && { _continue: token }),
    });
    names.push(...page.items.map(({ metadata }) => metadata?.name));
    token = page.metadata?._continue;
  } while (token !== undefined);
  expect(names).toEqual(["a", "b", "c", "web"]);
});

test("whoami", async () => {
  const api = config.makeApiClient(AuthenticationV1Api);
  const { status } = await api.createSelfSubjectReview({ body: {} });
  expect(status?.userInfo).toMatchObject({ username: "root", groups: ["system:masters", "system:authenticated"] });
});

describe("patches", () => {
  const NAME = { namespace: "default", name: "web" };
  const container = (image: string) => ({ name: "app", image });
  const deployment = (spec: object) => ({
    ...{ apiVersion: "apps/v1", kind: "Deployment", metadata: { name: "web" } },
    spec: {
      selector: { matchLabels: { app: "web" } },
      template: { metadata: { labels: { app: "web" } }, spec: { containers: [container("localhost/hello:1")] } },
      ...spec,
    },
  });
  const apply = (api: AppsV1Api, replicas: number, fieldManager: string, force = false) =>
    api.patchNamespacedDeployment(
      { ...NAME, body: deployment({ replicas }), fieldManager, force },
      setHeaderOptions("Content-Type", PatchStrategy.ServerSideApply),
    );

  test("of each type", async () => {
    const api = config.makeApiClient(AppsV1Api);
    await api.createNamespacedDeployment({ namespace: "default", body: deployment({ replicas: 1 }) });
    const patches = [
      [PatchStrategy.JsonPatch, [{ op: "replace", path: "/spec/replicas", value: 2 }], 2],
      [PatchStrategy.MergePatch, { spec: { replicas: 3 } }, 3],
      [PatchStrategy.StrategicMergePatch, { spec: { replicas: 4 } }, 4],
    ] as const;
    for (const [type, body, replicas] of patches) {
      const changed = await api.patchNamespacedDeployment({ ...NAME, body }, setHeaderOptions("Content-Type", type));
      expect(changed.spec?.replicas).toBe(replicas);
    }
    const live = await api.readNamespacedDeployment(NAME);
    const stale = { ...live, metadata: { ...live.metadata, resourceVersion: "1" } };
    await expect(api.replaceNamespacedDeployment({ ...NAME, body: stale })).rejects.toMatchObject({ code: 409 });
  });

  test("by apply: what another holds is a conflict, unless it is forced", async () => {
    const api = config.makeApiClient(AppsV1Api);
    await apply(api, 1, "one");
    await expect(apply(api, 2, "two")).rejects.toMatchObject({
      code: 409,
      body: expect.stringContaining('conflict with \\"one\\"'),
    });
    const forced = await apply(api, 2, "two", true);
    expect(forced.spec?.replicas).toBe(2);
    const fieldsOf = (manager: string) =>
      JSON.stringify(forced.metadata?.managedFields?.find((entry) => entry.manager === manager)?.fieldsV1);
    expect(fieldsOf("two")).toContain('"f:replicas"');
    expect(fieldsOf("one")).not.toContain('"f:replicas"');
    // The same again is no conflict, and takes nothing away.
    await expect(apply(api, 2, "one")).resolves.toMatchObject({ spec: { replicas: 2 } });
  });
});
