import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Served, serve } from "./fake-backend.ts";
import { type Answer, raw } from "./raw.ts";

/**
 * What k9s (0.50, on client-go 0.35) and Lens (Freelens 1.x, on @kubernetes/client-node) ask when they start and for
 * their views, read from their sources: neither can be run here without a terminal or a screen. Each answer is what
 * makes them go on.
 */
let served: Served;
beforeAll(async () => {
  served = await serve();
  served.backend.put("web", { app: "web" });
  served.backend.objectList.set("ns", {
    apiVersion: "v1",
    kind: "Namespace",
    metadata: { name: "default", uid: "ns", resourceVersion: "1", creationTimestamp: "2026-01-01T00:00:00Z" },
    status: { phase: "Active" },
  });
});
afterAll(() => served.close());

const get = async (path: string, accept = "application/json"): Promise<Record<string, unknown>> => {
  const answer = await raw(served.socketPath, path, { headers: { accept } });
  expect([path, answer.status]).toEqual([path, 200]);
  return answer.json();
};
const post = (path: string, body: object): Promise<Answer> =>
  raw(served.socketPath, path, {
    method: "POST",
    headers: { "content-type": "application/json", accept: "application/json" },
    body: JSON.stringify(body),
  });
const items = (list: Record<string, unknown>): readonly { readonly metadata: { readonly name: string } }[] =>
  list["items"] as never;
const mayI = async (attributes: object): Promise<unknown> => {
  const answer = await post("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", {
    apiVersion: "authorization.k8s.io/v1",
    kind: "SelfSubjectAccessReview",
    spec: { resourceAttributes: attributes },
  });
  expect(answer.status).toBe(201);
  return answer.json()["status"];
};

interface Group {
  readonly name: string;
  readonly versions: readonly { readonly groupVersion: string; readonly version: string }[];
  readonly preferredVersion?: { readonly groupVersion: string };
}
interface ApiResource {
  readonly name: string;
  readonly kind: string;
  readonly verbs: readonly string[];
  readonly namespaced: boolean;
}

/** Every group and version, as both walk through them. */
async function discovered(): Promise<Map<string, readonly ApiResource[]>> {
  const { versions } = await get("/api");
  const { groups } = await get("/apis");
  const places = [
    ...(versions as string[]).map((version) => [version, `/api/${version}`] as const),
    ...(groups as Group[]).flatMap((group) =>
      group.versions.map(({ groupVersion }) => [groupVersion, `/apis/${groupVersion}`] as const),
    ),
  ];
  const lists = await Promise.all(
    places.map(async ([groupVersion, path]) => {
      const list = await get(path);
      expect(list).toMatchObject({ kind: "APIResourceList", groupVersion });
      return [groupVersion, list["resources"] as readonly ApiResource[]] as const;
    }),
  );
  return new Map(lists);
}

const AGGREGATED =
  "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList," +
  "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json";
const TABLE =
  "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json";
const PROTOBUF = "application/vnd.kubernetes.protobuf,application/json";

describe("k9s", () => {
  test("starts: the version, the groups (is there metrics.k8s.io?), what may be done", async () => {
    const version = await get("/version");
    // It refuses to go on with a server whose version it can't read.
    expect(version["gitVersion"]).toMatch(/^v1\.\d+\.\d+/);
    expect([version["major"], version["minor"]]).toEqual(["1", expect.stringMatching(/^\d+/)]);
    const { groups } = await get("/apis", AGGREGATED);
    const metrics = (groups as Group[]).find(({ name }) => name === "metrics.k8s.io");
    expect(metrics?.versions.map((one) => one.version)).toContain("v1beta1");
    for (const verb of ["get", "list", "watch", "delete", "patch", "create", "update"])
      expect(await mayI({ verb, version: "v1", resource: "pods", namespace: "" })).toMatchObject({ allowed: true });
    expect(await mayI({ verb: "list", resource: "namespaces" })).toMatchObject({ allowed: true });
  });

  test("the list of what there is: every kind that can be listed answers so, and all that it does is there", async () => {
    const all = await discovered();
    for (const name of ["pods", "pods/log", "pods/exec", "namespaces", "nodes", "events", "secrets"])
      expect(all.get("v1")?.map((resource) => resource.name)).toContain(name);
    const listable = [...all].flatMap(([groupVersion, resources]) => {
      const base = groupVersion.includes("/") ? `/apis/${groupVersion}` : `/api/${groupVersion}`;
      if (groupVersion === "metrics.k8s.io/v1beta1") return []; // below
      return resources
        .filter(({ name, verbs }) => !name.includes("/") && verbs.includes("list"))
        .map((resource) => ({ ...resource, base }));
    });
    await Promise.all(
      listable.map(async ({ base, name, kind, verbs }) => {
        // Informers list whole objects, and then watch from there, with bookmarks.
        const list = await get(`${base}/${name}?limit=500&resourceVersion=0`, PROTOBUF);
        expect(list["kind"], name).toBe(`${kind}List`);
        expect(list["items"], name).toBeInstanceOf(Array);
        // Views without columns of their own show the server's.
        const table = await get(`${base}/${name}?includeObject=Metadata`, TABLE);
        expect(table, name).toMatchObject({
          kind: "Table",
          columnDefinitions: expect.any(Array),
          rows: expect.any(Array),
        });
        if (!verbs.includes("watch")) return;
        const { resourceVersion } = list["metadata"] as { resourceVersion: string };
        const watch = `${base}/${name}?watch=true&allowWatchBookmarks=true&timeoutSeconds=1&resourceVersion=${resourceVersion}`;
        const answer = await raw(served.socketPath, watch, { headers: { accept: "application/json" } });
        expect([name, answer.status]).toEqual([name, 200]);
      }),
    );
  });

  test("kinds of clusters that are not here: no group, and a 404 that says so", async () => {
    for (const path of [
      "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
      "/apis/networking.k8s.io/v1beta1/ingresses",
    ]) {
      const answer = await raw(served.socketPath, path, { headers: { accept: PROTOBUF } });
      expect(answer.status).toBe(404);
      expect(answer.asStatus()).toMatchObject({ kind: "Status", status: "Failure", reason: "NotFound" });
    }
  });

  test("numbers of pods and nodes, in pages", async () => {
    const [pods, nodes] = [
      await get("/apis/metrics.k8s.io/v1beta1/pods?limit=500"),
      await get("/apis/metrics.k8s.io/v1beta1/nodes?limit=500"),
    ];
    expect([pods["kind"], nodes["kind"]]).toEqual(["PodMetricsList", "NodeMetricsList"]);
    expect((await get("/apis/metrics.k8s.io/v1beta1/namespaces/default/pods"))["items"]).toBeInstanceOf(Array);
  });

  test("describe, YAML, events of a pod", async () => {
    expect(await get("/api/v1/namespaces/default/pods/web", PROTOBUF)).toMatchObject({ metadata: { name: "web" } });
    const selector = "involvedObject.name=web,involvedObject.namespace=default";
    const events = await get(
      `/api/v1/namespaces/default/events?fieldSelector=${encodeURIComponent(selector)}&limit=500`,
    );
    expect(events["items"]).toBeInstanceOf(Array);
  });
});

describe("Lens", () => {
  test("connects: version, what may be done, namespaces", async () => {
    expect(await get("/version")).toMatchObject({ gitVersion: expect.stringMatching(/^v1\./) });
    expect(await mayI({ namespace: "kube-system", resource: "*", verb: "create" })).toMatchObject({ allowed: true });
    expect(await mayI({ verb: "watch", resource: "*" })).toMatchObject({ allowed: true });
    const namespaces = items(await get("/api/v1/namespaces")).map(({ metadata }) => metadata.name);
    expect(namespaces).toContain("default");
  });

  test("shows the kinds that may be listed: SelfSubjectRulesReview is whole", async () => {
    const answer = await post("/apis/authorization.k8s.io/v1/selfsubjectrulesreviews", {
      apiVersion: "authorization.k8s.io/v1",
      kind: "SelfSubjectRulesReview",
      spec: { namespace: "default" },
    });
    expect(answer.status).toBe(201);
    expect(answer.json()["status"]).toMatchObject({
      incomplete: false,
      resourceRules: [{ verbs: ["*"], apiGroups: ["*"], resources: ["*"] }],
      nonResourceRules: expect.any(Array),
    });
    // It is ready when it knows of any kind at all.
    const kinds = [...(await discovered()).values()].flat().filter(({ name }) => !name.includes("/"));
    expect(kinds.map(({ name }) => name)).toEqual(expect.arrayContaining(["pods", "deployments", "jobs", "cronjobs"]));
  });

  test("what the cluster is: its id, its nodes, that it is no OpenShift", async () => {
    expect(await get("/api/v1/namespaces/default")).toMatchObject({ metadata: { uid: expect.stringMatching(/./) } });
    expect(items(await get("/api/v1/nodes"))).toHaveLength(1);
    const { paths } = await get("/");
    expect(paths).toEqual(
      expect.arrayContaining(["/api", "/api/v1", "/apis", "/apis/apps/v1", "/healthz", "/version"]),
    );
  });

  test("looks for Prometheus among the services, and finds none", async () => {
    const selector = encodeURIComponent("operated-prometheus=true");
    expect(items(await get(`/api/v1/services?labelSelector=${selector}`))).toEqual([]);
    const answer = await raw(served.socketPath, "/api/v1/namespaces/lens-metrics/services/prometheus");
    expect(answer.status).toBe(404);
  });

  test("views of several namespaces; a watch of each from the list's version", async () => {
    const watchFrom = async (path: string): Promise<void> => {
      const list = await get(path);
      const { resourceVersion } = list["metadata"] as { resourceVersion: string };
      const watch = `${path}?watch=1&timeoutSeconds=1&resourceVersion=${resourceVersion}`;
      expect((await raw(served.socketPath, watch)).status).toBe(200);
    };
    const places = ["/api/v1/namespaces/default/pods", "/apis/apps/v1/namespaces/default/deployments"];
    await Promise.all(places.map(watchFrom));
  });
});
