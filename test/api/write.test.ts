import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type Served, serve } from "./fake-backend.ts";
import { type Answer, raw } from "./raw.ts";

let served: Served;
beforeEach(async () => {
  served = await serve();
});
afterEach(() => served.close());

const DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments";
const CONFIG_MAPS = "/api/v1/namespaces/default/configmaps";
const PATCH = {
  json: "application/json-patch+json",
  merge: "application/merge-patch+json",
  strategic: "application/strategic-merge-patch+json",
  apply: "application/apply-patch+yaml",
} as const;

function send(method: string, path: string, body: unknown, type = "application/json"): Promise<Answer> {
  const text = typeof body === "string" ? body : JSON.stringify(body);
  return raw(served.socketPath, path, { method, headers: { "content-type": type }, body: text });
}
const get = (path: string, accept = "application/json") =>
  raw(served.socketPath, path, { headers: { accept } }).then((answer) => answer.json());

const deployment = (spec: object = {}, metadata: object = {}) => ({
  apiVersion: "apps/v1",
  kind: "Deployment",
  metadata: { name: "web", ...metadata },
  spec: {
    replicas: 1,
    selector: { matchLabels: { app: "web" } },
    template: {
      metadata: { labels: { app: "web" } },
      spec: { containers: [{ name: "app", image: "localhost/hello:1" }] },
    },
    ...spec,
  },
});
const configMap = (data: object, metadata: object = {}) => ({
  ...{ apiVersion: "v1", kind: "ConfigMap", metadata: { name: "mine", ...metadata }, data },
});

describe("create", () => {
  test("answers with what is served, once", async () => {
    const made = await send("POST", CONFIG_MAPS, configMap({ a: "1" }));
    expect(made.status).toBe(201);
    expect(made.json()).toMatchObject({ metadata: { name: "mine", uid: "uid-ConfigMap-default-mine" } });
    const again = await send("POST", CONFIG_MAPS, configMap({ a: "1" }));
    expect(again.asStatus()).toMatchObject({ code: 409, reason: "AlreadyExists", details: { name: "mine" } });
  });

  test("a name is made from generateName, another each time", async () => {
    const one = configMap({}, { name: undefined, generateName: "mine-" });
    const names = [];
    for (let count = 0; count < 2; count += 1)
      names.push(((await send("POST", CONFIG_MAPS, one)).json()["metadata"] as { name: string }).name);
    for (const name of names) expect(name).toMatch(/^mine-[a-z0-9]{5}$/);
    expect(new Set(names).size).toBe(2);
  });

  test("a trial says what would come, and writes nothing", async () => {
    const trial = await send("POST", `${CONFIG_MAPS}?dryRun=All`, configMap({ a: "1" }));
    expect(trial.status).toBe(201);
    expect(trial.json()).toMatchObject({ metadata: { name: "mine" }, data: { a: "1" } });
    expect((await raw(served.socketPath, `${CONFIG_MAPS}/mine`)).status).toBe(404);
    expect(served.backend.writes.every(({ dryRun }) => dryRun)).toBe(true);
  });

  test.each([
    [{ ...configMap({}), kind: "Secret" }, 400],
    [{ ...configMap({}), apiVersion: "v2" }, 400],
    [configMap({}, { namespace: "other" }), 400],
    [configMap({}, { name: undefined }), 422],
    [configMap({}, { name: "Not A Name" }), 422],
    [configMap({ a: 5 }), 422],
    [`${'{"a":'.repeat(300_000)}1${"}".repeat(300_000)}`, 400],
    [`${"[".repeat(1_500_000)}${"]".repeat(1_500_000)}`, 400],
    [
      `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"mine","finalizers":[${"{},".repeat(1_000_000)}{}]}}`,
      400,
    ],
    ["x".repeat(3 * 1024 * 1024 + 1), 413],
    ["", 400],
  ])("a body that makes no sense is refused (%#)", async (body, code) => {
    expect((await send("POST", CONFIG_MAPS, body)).asStatus()).toMatchObject({ kind: "Status", code });
    expect(served.backend.objectList.has("uid-ConfigMap-default-mine")).toBe(false);
  });

  test.each([
    ["Strict", 422, []],
    ["Warn", 201, ['299 - "unknown field \\"colour\\""']],
    ["Ignore", 201, []],
    ["Perhaps", 400, []],
  ])("fieldValidation=%s of an unknown field → %i", async (mode, code, warnings) => {
    const body = { ...configMap({ a: "1" }), colour: "red" };
    const answer = await send("POST", `${CONFIG_MAPS}?fieldValidation=${mode}`, body);
    expect(answer.status).toBe(code);
    expect([answer.headers["warning"] ?? []].flat()).toEqual(warnings);
    expect(JSON.stringify(answer.json()["colour"])).toBeUndefined();
  });
});

describe("replace", () => {
  beforeEach(() => send("POST", CONFIG_MAPS, configMap({ a: "1" })));

  test("of the version that was read; an older one is a conflict", async () => {
    const live = await get(`${CONFIG_MAPS}/mine`);
    expect((await send("PUT", `${CONFIG_MAPS}/mine`, { ...live, data: { a: "2" } })).status).toBe(200);
    const stale = await send("PUT", `${CONFIG_MAPS}/mine`, { ...live, data: { a: "3" } });
    expect(stale.asStatus()).toMatchObject({ code: 409, reason: "Conflict", details: { name: "mine" } });
    expect(stale.asStatus().message).toContain("the object has been modified");
    expect(await get(`${CONFIG_MAPS}/mine`)).toMatchObject({ data: { a: "2" } });
  });

  test.each([
    [configMap({}, { name: "other" }), "mine", 400],
    [configMap({}, { name: "none" }), "none", 404],
    [configMap({}, { uid: "another" }), "mine", 409],
  ])("%j at %s → %i", async (body, name, code) => {
    expect((await send("PUT", `${CONFIG_MAPS}/${name}`, body)).asStatus()).toMatchObject({ code });
  });

  test("by the same writes nothing", async () => {
    const before = served.backend.writes.length;
    const live = await get(`${CONFIG_MAPS}/mine`);
    expect((await send("PUT", `${CONFIG_MAPS}/mine`, live)).json()).toEqual(live);
    expect(served.backend.writes).toHaveLength(before);
  });
});

describe("patch", () => {
  beforeEach(() => send("POST", DEPLOYMENTS, deployment()));
  const spec = async () => (await get(`${DEPLOYMENTS}/web`))["spec"];

  test.each([
    ["json", [{ op: "replace", path: "/spec/replicas", value: 4 }]],
    ["merge", { spec: { replicas: 4 } }],
    ["strategic", { spec: { replicas: 4 } }],
  ] as const)("%s", async (type, body) => {
    expect((await send("PATCH", `${DEPLOYMENTS}/web`, body, PATCH[type])).status).toBe(200);
    expect(await spec()).toMatchObject({ replicas: 4 });
  });

  test.each([
    ["json", [{ op: "add", path: "/toString/call", value: 1 }], 422],
    ["json", {}, 400],
    ["json", [{ op: "replace", path: "/metadata/name", value: "other" }], 400],
    ["json", [{ op: "replace", path: "", value: 5 }], 422],
    ["merge", { metadata: { name: "other" } }, 400],
    ["merge", { metadata: { resourceVersion: "1" } }, 409],
    ["merge", { kind: "Pod" }, 400],
    ["merge", 5, 400],
    ["merge", `{"spec":${'{"a":'.repeat(300_000)}1${"}".repeat(300_001)}`, 400],
    ["strategic", { spec: { template: { spec: { containers: [{ image: "x" }] } } } }, 400],
    ["strategic", { spec: { replicas: -1 } }, 422],
    ["apply", "a: [b", 400],
    ["apply", "a: &a [1]\nb: *c\n", 400],
    ["apply", "[".repeat(20_000), 400],
    ["apply", "{}\n---\na: 1\n", 400],
  ] as const)("%s %j → %i, and nothing is changed", async (type, body, code) => {
    const before = await get(`${DEPLOYMENTS}/web`);
    const answer = await send("PATCH", `${DEPLOYMENTS}/web?fieldManager=x`, body, PATCH[type]);
    expect(answer.asStatus()).toMatchObject({ kind: "Status", code });
    expect(await get(`${DEPLOYMENTS}/web`)).toEqual(before);
  });

  test("two at the same time both count", async () => {
    const label = (name: string) =>
      send("PATCH", `${DEPLOYMENTS}/web`, { metadata: { labels: { [name]: "x" } } }, PATCH.merge);
    const names = ["a", "b", "c", "d"];
    await Promise.all(names.map(label));
    const { metadata } = (await get(`${DEPLOYMENTS}/web`)) as { metadata: { labels: object } };
    expect(Object.keys(metadata.labels).sort()).toEqual(names);
  });

  test("as a trial changes nothing", async () => {
    const answer = await send("PATCH", `${DEPLOYMENTS}/web?dryRun=All`, { spec: { replicas: 9 } }, PATCH.merge);
    expect(answer.json()).toMatchObject({ spec: { replicas: 9 } });
    expect(await spec()).toMatchObject({ replicas: 1 });
  });
});

describe("server-side apply", () => {
  const apply = (manager: string, body: object, more = "", name = "mine") =>
    send("PATCH", `${CONFIG_MAPS}/${name}?fieldManager=${manager}${more}`, body, PATCH.apply);

  test("makes what is not there, keeps the fields of others, and says who is in the way", async () => {
    expect((await apply("a", configMap({ a: "1" }))).status).toBe(201);
    expect((await apply("b", configMap({ b: "1" }))).json()).toMatchObject({ data: { a: "1", b: "1" } });
    const conflict = await apply("b", configMap({ a: "2" }));
    expect(conflict.asStatus()).toMatchObject({
      ...{ code: 409, reason: "Conflict", message: 'Apply failed with 1 conflict: conflict with "a": .data.a' },
    });
    const forced = (await apply("b", configMap({ a: "2" }), "&force=true")).json();
    expect(forced).toMatchObject({ data: { a: "2" } });
    expect(forced["data"]).not.toHaveProperty("b");
    expect(forced["metadata"]).toMatchObject({ managedFields: [{ manager: "b", operation: "Apply" }] });
  });

  test("of the same again writes nothing", async () => {
    const first = (await apply("a", configMap({ a: "1" }))).json();
    const writes = served.backend.writes.length;
    expect((await apply("a", configMap({ a: "1" }))).json()).toEqual(first);
    expect(served.backend.writes).toHaveLength(writes);
  });

  test("a change by others is theirs afterwards", async () => {
    await apply("a", configMap({ a: "1" }));
    await send("PATCH", `${CONFIG_MAPS}/mine?fieldManager=kubectl-edit`, { data: { a: "2" } }, PATCH.merge);
    expect((await apply("a", configMap({ a: "1" }))).asStatus().message).toContain('conflict with "kubectl-edit"');
  });

  test("keeps what kubectl has last applied, for an apply of the old kind", async () => {
    const annotation = "kubectl.kubernetes.io/last-applied-configuration";
    await send("POST", CONFIG_MAPS, configMap({ a: "1" }, { annotations: { [annotation]: "{}" } }));
    const annotations = async (manager: string, data: object) =>
      ((await apply(manager, configMap(data))).json()["metadata"] as { annotations: Record<string, string> })
        .annotations;
    expect(await annotations("other", { b: "1" })).toEqual({ [annotation]: "{}" });
    const { [annotation]: last = "" } = await annotations("kubectl", { c: "1" });
    expect(JSON.parse(last)).toEqual(configMap({ c: "1" }));
  });

  test.each([
    ["without a manager", "", configMap({}), 400],
    ["with managedFields", "a", configMap({}, { managedFields: [] }), 400],
    ["of another name", "a", configMap({}, { name: "other" }), 400],
    ["of an old version", "a", configMap({}, { resourceVersion: "1" }), 409],
  ])("%s is refused", async (_what, manager, body, code) => {
    await send("POST", CONFIG_MAPS, configMap({ a: "1" }));
    expect((await apply(manager, body)).asStatus()).toMatchObject({ code });
  });
});

test("delete of a collection takes what is chosen; a trial takes nothing", async () => {
  for (const name of ["one", "two", "three"])
    await send("POST", CONFIG_MAPS, configMap({}, { name, labels: { odd: String(name !== "two") } }));
  const names = async () =>
    ((await get(CONFIG_MAPS))["items"] as { metadata: { name: string } }[]).map(({ metadata }) => metadata.name);
  const remove = (query: string) =>
    raw(served.socketPath, `${CONFIG_MAPS}?labelSelector=odd%3Dtrue${query}`, { method: "DELETE" });
  expect((await remove("&dryRun=All")).json()).toMatchObject({ kind: "ConfigMapList", items: [{}, {}] });
  expect(await names()).toEqual(["settings", "one", "two", "three"]);
  expect((await remove("")).json()).toMatchObject({
    items: [{ metadata: { name: "one" } }, { metadata: { name: "three" } }],
  });
  expect(await names()).toEqual(["settings", "two"]);
  expect((await raw(served.socketPath, "/api/v1/configmaps", { method: "DELETE" })).status).toBe(405);
});

describe("subresources", () => {
  beforeEach(() => send("POST", DEPLOYMENTS, deployment({ replicas: 2 })));
  const scale = `${DEPLOYMENTS}/web/scale`;

  test("scale is read and written", async () => {
    const live = await get(scale);
    expect(live).toMatchObject({
      kind: "Scale",
      apiVersion: "autoscaling/v1",
      spec: { replicas: 2 },
      status: { selector: "app=web" },
    });
    expect((await send("PUT", scale, { ...live, spec: { replicas: 3 } })).json()).toMatchObject({
      spec: { replicas: 3 },
    });
    expect((await send("PUT", scale, { ...live, spec: { replicas: 4 } })).asStatus()).toMatchObject({ code: 409 });
    for (const [at, type] of [PATCH.merge, PATCH.strategic].entries()) {
      await send("PATCH", scale, { spec: { replicas: at + 5 } }, type);
      expect(await get(`${DEPLOYMENTS}/web`)).toMatchObject({ spec: { replicas: at + 5 } });
    }
    await send("PATCH", scale, [{ op: "replace", path: "/spec/replicas", value: 7 }], PATCH.json);
    expect(await get(scale)).toMatchObject({ spec: { replicas: 7 } });
  });

  test.each([
    ["PUT", { spec: {} }, "application/json", 422],
    ["PUT", { spec: { replicas: 1.5 } }, "application/json", 422],
    ["PATCH", { spec: { replicas: -1 } }, PATCH.merge, 422],
    ["PATCH", { metadata: { resourceVersion: "1" }, spec: { replicas: 3 } }, PATCH.merge, 409],
    ["PATCH", { spec: { replicas: 1 } }, "application/json", 415],
  ])("%s %j of %s to the scale → %i", async (method, body, type, code) => {
    expect((await send(method, scale, body, type)).asStatus()).toMatchObject({ code });
    expect(await get(scale)).toMatchObject({ spec: { replicas: 2 } });
  });

  test("a status is read, and can't be written", async () => {
    expect(await get(`${DEPLOYMENTS}/web/status`)).toMatchObject({ kind: "Deployment", metadata: { name: "web" } });
    const refused = await send("PATCH", `${DEPLOYMENTS}/web/status`, { status: {} }, PATCH.merge);
    expect(refused.asStatus()).toMatchObject({ code: 405, reason: "MethodNotAllowed" });
    expect((await raw(served.socketPath, `${DEPLOYMENTS}/none/status`)).status).toBe(404);
  });
});
