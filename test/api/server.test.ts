import { mkdir, mkdtemp, rm, stat, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { PodObject } from "../../src/api/contract.ts";
import { createApiServer } from "../../src/api/server.ts";
import { HTTP_OF_CODE } from "../../src/api/status-error.ts";
import { type ErrorCode, GantryError } from "../../src/system/errors.ts";
import { silentLogger } from "../../src/system/log.ts";
import { FakeBackend, type Served, serve } from "./fake-backend.ts";
import { bytes, raw } from "./raw.ts";

let served: Served;
beforeEach(async () => {
  served = await serve();
});
afterEach(() => served.close());

const get = (path: string) => raw(served.socketPath, path);
const names = (list: Record<string, unknown>): string[] => {
  const { items } = list as { items: { metadata: { namespace: string; name: string } }[] };
  return items.map(({ metadata }) => `${metadata.namespace}/${metadata.name}`);
};

describe("lists and objects", () => {
  beforeEach(() => {
    served.backend.put("web", { app: "web", tier: "front" });
    served.backend.put("db", { app: "db" }, "Pending");
    served.backend.put("web", { app: "web" }, "Failed", "prod");
  });

  test("a list is a PodList with the version to watch from", async () => {
    const answer = await get("/api/v1/pods");
    expect(answer.status).toBe(200);
    expect(answer.headers["content-type"]).toMatch(/^application\/json/);
    expect(answer.json()).toMatchObject({ kind: "PodList", apiVersion: "v1", metadata: { resourceVersion: "103" } });
    expect(names(answer.json())).toEqual(["default/web", "default/db", "prod/web"]);
  });

  test.each([
    ["/api/v1/namespaces/prod/pods", ["prod/web"]],
    ["/api/v1/namespaces/none/pods", []],
    ["/api/v1/pods?labelSelector=app%3Dweb", ["default/web", "prod/web"]],
    ["/api/v1/pods?labelSelector=app+notin+(web),!tier", ["default/db"]],
    ["/api/v1/pods?fieldSelector=status.phase!%3DRunning", ["default/db", "prod/web"]],
    ["/api/v1/pods?fieldSelector=metadata.name%3Dweb,metadata.namespace%3Dprod", ["prod/web"]],
    ["/api/v1/pods?limit=9&unknown=1", ["default/db", "default/web", "prod/web"]],
  ])("%s", async (path, expected) => {
    expect(names((await get(path)).json())).toEqual(expected);
  });

  test("one pod, and none", async () => {
    expect((await get("/api/v1/namespaces/prod/pods/web")).json()).toMatchObject({ status: { phase: "Failed" } });
    const none = await get("/api/v1/namespaces/prod/pods/db");
    expect(none.status).toBe(404);
    expect(none.asStatus()).toMatchObject({ kind: "Status", status: "Failure", reason: "NotFound", code: 404 });
    expect(none.asStatus().details?.gantry).toMatchObject({ code: "not-found", hint: expect.any(String) });
  });

  test("configmaps, secrets, nodes, events", async () => {
    served.backend.happen();
    served.backend.happen({ object: "Manifest/a/b.yaml", podUid: undefined, type: "Warning", reason: "Invalid" });
    expect(names((await get("/api/v1/configmaps")).json())).toEqual(["default/settings"]);
    expect((await get("/api/v1/namespaces/default/secrets/key")).json()).toMatchObject({ data: { a: "MQ==" } });
    expect((await get("/api/v1/nodes/host")).json()).toMatchObject({ kind: "Node" });
    const events = (await get("/api/v1/events")).json();
    expect(names(events)).toEqual(["default/web.1", "default/a-b.yaml.2"]);
    const broken = await get("/api/v1/events?fieldSelector=involvedObject.kind%3DManifest");
    expect(broken.json().items).toMatchObject([{ involvedObject: { name: "a/b.yaml" }, type: "Warning" }]);
  });

  test("HEAD is GET without a body", async () => {
    const answer = await raw(served.socketPath, "/api/v1/pods", { method: "HEAD" });
    expect([answer.status, answer.text]).toEqual([200, ""]);
  });
});

describe("what changes things", () => {
  beforeEach(() => served.backend.put("web"));

  test("delete hands on the grace, from the query or from DeleteOptions", async () => {
    const path = "/api/v1/namespaces/default/pods/web";
    const first = await raw(served.socketPath, `${path}?gracePeriodSeconds=5`, { method: "DELETE" });
    expect(first.json()).toMatchObject({ kind: "Pod" });
    const headers = { "content-type": "application/json" };
    const body = JSON.stringify({ kind: "DeleteOptions", gracePeriodSeconds: 2, propagationPolicy: "Background" });
    await raw(served.socketPath, path, { method: "DELETE", headers, body });
    await raw(served.socketPath, path, { method: "DELETE" });
    expect(served.backend.calls).toEqual([
      "delete default/web 5000",
      "delete default/web 2000",
      "delete default/web -",
    ]);
  });

  test.each([
    ["?dryRun=Some", "", 400],
    ["?gracePeriodSeconds=-1", "", 400],
    ["?gracePeriodSeconds=soon", "", 400],
    ["", "{", 400],
    ["", "[]", 400],
    ["", '{"gracePeriodSeconds":"x"}', 400],
    ["", '{"dryRun":["Some"]}', 400],
    ["", '{"propagationPolicy":"Orphan"}', 422],
    ["", '{"preconditions":{"uid":"another"}}', 409],
  ])("delete %s with the body '%s' is refused with %i", async (query, body, status) => {
    const path = `/api/v1/namespaces/default/pods/web${query}`;
    const headers = { "content-type": "application/json" };
    const answer = await raw(served.socketPath, path, { method: "DELETE", headers, body });
    expect(answer.asStatus()).toMatchObject({ kind: "Status", code: status });
    expect(served.backend.calls).toEqual([]);
  });

  test.each(["?dryRun=All", ""])("delete %s as a trial takes nothing away", async (query) => {
    const path = `/api/v1/namespaces/default/pods/web${query}`;
    const headers = { "content-type": "application/json" };
    const body = query === "" ? '{"dryRun":["All"]}' : "";
    served.backend.put("web");
    const answer = await raw(served.socketPath, path, { method: "DELETE", headers, body });
    expect(answer.json()).toMatchObject({ kind: "Pod", metadata: { name: "web" } });
    expect(served.backend.calls).toEqual([]);
  });

  test("apply takes YAML and says what came of it", async () => {
    const path = "/apis/gantry.dev/v1/apply?fileName=web.yaml";
    const headers = { "content-type": "application/yaml; charset=utf-8" };
    const answer = await raw(served.socketPath, path, { method: "POST", headers, body: "kind: Pod\n" });
    expect(answer.json()).toMatchObject({ items: [{ outcome: "created" }] });
    const broken = await raw(served.socketPath, path, { method: "POST", headers, body: "broken" });
    expect(broken.asStatus()).toMatchObject({
      code: 422,
      reason: "Invalid",
      details: {
        gantry: { code: "invalid-manifest", hint: "Add it.", details: { line: 3 } },
      },
    });
  });

  test.each([
    ["application/x-www-form-urlencoded", "kind: Pod", 415],
    ["application/yaml", "", 400],
    ["application/yaml", Buffer.from([0xff, 0xfe, 0x00]), 400],
    ["application/yaml", Buffer.alloc(3 * 1024 * 1024 + 1, "a"), 413],
  ])("apply of %s is refused when it can't be read", async (type, body, status) => {
    const path = "/apis/gantry.dev/v1/apply";
    const answer = await raw(served.socketPath, path, { method: "POST", headers: { "content-type": type }, body });
    expect(answer.asStatus()).toMatchObject({ kind: "Status", code: status });
    expect(served.backend.calls).toEqual([]);
  });

  test.each(["../x.yaml", "a%2Fb.yaml", "..", "%00"])("apply to the file %s is refused", async (name) => {
    const path = `/apis/gantry.dev/v1/apply?fileName=${name}`;
    const answer = await raw(served.socketPath, path, { method: "POST", body: "kind: Pod" });
    expect(answer.status).toBe(400);
  });

  test("restart, of all or of one container", async () => {
    const path = "/apis/gantry.dev/v1/namespaces/default/pods/web/restart";
    await raw(served.socketPath, path, { method: "POST" });
    await raw(served.socketPath, `${path}?container=app`, { method: "POST" });
    expect(served.backend.calls).toEqual(["restart default/web -", "restart default/web app"]);
  });

  test("images come as a stream, and go by any name", async () => {
    const path = "/apis/gantry.dev/v1/images";
    const body = Buffer.alloc(300_000, 7);
    const headers = { "content-type": "application/x-tar" };
    const answer = await raw(served.socketPath, `${path}?name=localhost/a:1`, { method: "POST", headers, body });
    expect(answer.json()).toMatchObject({ names: ["localhost/a:1"] });
    expect(Buffer.concat(served.backend.imported).equals(body)).toBe(true);
    await raw(served.socketPath, `${path}/${encodeURIComponent("docker.io/library/x:1")}`, { method: "DELETE" });
    expect(served.backend.calls).toEqual(["rmi docker.io/library/x:1"]);
    const all = await raw(served.socketPath, path, { method: "POST", headers, body });
    expect(all.json()).toMatchObject({ kind: "ImageList", items: [{ names: ["localhost/hello:1"] }] });
  });

  test("pulls, checks and archives of images are streams, and what goes wrong is their last line", async () => {
    const at = (path: string) => `/apis/gantry.dev/v1/${path}`;
    const post = (path: string, body = "") =>
      raw(served.socketPath, at(path), { method: "POST", headers: { "content-type": "application/json" }, body });
    const lines = async (path: string): Promise<unknown[]> =>
      (await post(path)).text
        .trim()
        .split("\n")
        .map((line) => JSON.parse(line));
    expect(await lines("imagepulls?name=app:1")).toMatchObject([{ type: "progress" }, { type: "image" }]);
    expect((await lines("imagepulls?name=localhost/none:1")).at(-1)).toMatchObject({
      type: "ERROR",
      object: { kind: "Status", code: 404, message: "no such image" },
    });
    expect(await lines("imagechecks?name=a:1&name=b:1&repair")).toMatchObject([
      { names: ["a:1", "b:1"], state: "repaired" },
    ]);
    expect((await raw(served.socketPath, at("imagearchive?name=a:1&name=b:1"))).text).toBe("a:1,b:1");
    for (const bad of ["imagepulls", "imagepulls?name=Not%20A%20Name"])
      expect((await post(bad)).status).toBeGreaterThanOrEqual(400);
    expect((await post("imagepulls?name=a:1", "{}x")).status).toBe(400);
    expect((await post("imagepulls?name=a:1", '{"credentials": 5}')).status).toBe(400);
    expect((await raw(served.socketPath, at("imagearchive"))).status).toBe(400);
  });

  test("an image refused half way: the client still learns why", async () => {
    served.backend.importFailure = new GantryError("image-invalid", "this is no archive", { hint: "Send a tar." });
    const path = "/apis/gantry.dev/v1/images?name=a";
    const answer = await raw(served.socketPath, path, { method: "POST", body: Buffer.alloc(8 * 1024 * 1024) });
    expect(answer.asStatus()).toMatchObject({ code: 422, message: "this is no archive" });
  });
});

describe("logs", () => {
  const log = (query: string) => raw(served.socketPath, `/api/v1/namespaces/default/pods/web/log${query}`);

  test("one stream of two, or both", async () => {
    served.backend.put("web");
    served.backend.logPath = join(served.directory, "0.log");
    const lines = ["stdout F out", "stderr F err", "stdout P o", "stderr F e", "stdout F ut"];
    await writeFile(served.backend.logPath, lines.map((line) => `2026-01-01T00:00:00Z ${line}\n`).join(""));
    expect((await log("?stream=Stdout")).text).toBe("out\nout\n");
    expect((await log("?stream=Stderr")).text).toBe("err\ne\n");
    expect((await log("?stream=All&tailLines=1")).text).toContain("ut\n");
    expect((await log("?stream=Stdout&tailLines=1")).asStatus()).toMatchObject({ code: 400 });
    expect((await log("?stream=stdout")).asStatus()).toMatchObject({ code: 400 });
  });

  test("of the container that the annotation names, and of none that there is not", async () => {
    const { metadata, ...rest } = served.backend.put("web");
    const annotations = { "kubectl.kubernetes.io/default-container": "side" };
    const spec = { ...rest.spec, containers: [...rest.spec.containers, { ...rest.spec.containers[0], name: "side" }] };
    served.backend.podList.set(metadata.uid, { ...rest, spec, metadata: { ...metadata, annotations } } as PodObject);
    await log("");
    await log("?container=app");
    expect(served.backend.calls).toEqual(["log default/web side false", "log default/web app false"]);
    expect((await log("?container=nope")).asStatus()).toMatchObject({
      code: 404,
      message: expect.stringContaining("nope is not valid for pod web"),
    });
  });

  test("kubectl debug is refused in words", async () => {
    const path = "/api/v1/namespaces/default/pods/web/ephemeralcontainers";
    const refused = await raw(served.socketPath, path, { method: "PATCH", body: "{}" });
    expect(refused.asStatus()).toMatchObject({ code: 405, message: expect.stringContaining("ephemeral") });
  });
});

describe("bad requests", () => {
  test.each([
    ["/api/v1/pods?labelSelector=a+in+b", 400],
    ["/api/v1/pods?labelSelector==", 400],
    ["/api/v1/pods?fieldSelector=spec.color%3Dred", 400],
    ["/api/v1/pods?watch=maybe", 400],
    ["/api/v1/pods?watch=true&resourceVersion=abc", 400],
    ["/api/v1/pods?watch=true&resourceVersion=99999", 410],
    ["/api/v1/namespaces/default/pods/none/log", 404],
    ["/api/v1/podtemplates", 404],
    ["/nothing", 404],
    ["/api/v1/namespaces/%zz/pods", 400],
    [`/api/v1/namespaces/${"x".repeat(2000)}/pods`, 400],
    ["/api/v1/pods?labelSelector=a&labelSelector=b", 400],
  ])("GET %s → %i", async (path, status) => {
    served.backend.put("web");
    const answer = await get(path);
    expect(answer.status).toBe(status);
    expect(answer.asStatus()).toMatchObject({ apiVersion: "v1", kind: "Status", status: "Failure", code: status });
    expect(answer.asStatus().message).toBeTruthy();
  });

  test.each([
    ["POST", {}, 405, "MethodNotAllowed"],
    ["PUT", {}, 400, "BadRequest"],
    ["PATCH", {}, 415, "UnsupportedMediaType"],
    ["PATCH", { "content-type": "application/merge-patch+json" }, 400, "BadRequest"],
  ])("%s %o of a pod with a body that makes no sense → %i", async (method, given, code, reason) => {
    served.backend.put("web");
    const headers = { "content-type": "application/json", ...given };
    const answer = await raw(served.socketPath, "/api/v1/namespaces/default/pods/web", { method, headers, body: "[]" });
    expect(answer.asStatus()).toMatchObject({ code, reason });
    if (code === 405) expect(answer.headers.allow).toBe("GET, PUT, PATCH, DELETE");
  });

  test("only JSON can be had", async () => {
    const headers = { accept: "application/vnd.kubernetes.protobuf" };
    expect((await raw(served.socketPath, "/api/v1/pods", { headers })).status).toBe(406);
    const both = { accept: "application/vnd.kubernetes.protobuf,application/json" };
    expect((await raw(served.socketPath, "/api/v1/pods", { headers: both })).status).toBe(200);
  });

  test.each([
    ["\x16\x03\x01\x02\x00\x01\x00", "400"],
    ["GET\r\n\r\n", "400"],
    [`GET / HTTP/1.1\r\nx: ${"y".repeat(100_000)}\r\n\r\n`, "431"],
  ])("what is not HTTP gets an answer and the door", async (data, code) => {
    const said = await bytes(served.socketPath, data);
    expect(said).toMatch(/^HTTP\/1.1 \d+ [\s\S]*"kind":"Status"/);
    expect(said.slice(9, 12)).toBe(code);
    expect((await get("/healthz")).text).toBe("ok");
  });

  test("every error code has its own answer, and nothing of it is lost", async () => {
    for (const code of Object.keys(HTTP_OF_CODE) as ErrorCode[]) {
      served.backend.failure = new GantryError(code, `about ${code}`, {
        hint: "Do it.",
        details: { n: 1 },
        kind: "system",
      });
      expect((await get("/api/v1/pods")).status, code).toBe(HTTP_OF_CODE[code].status);
      const expected = { code, message: `about ${code}`, hint: "Do it.", details: { n: 1 }, kind: "system" };
      await expect(served.client.listPods()).rejects.toMatchObject(expected);
    }
  });
});

describe("the socket", () => {
  const start = async (socketPath: string) => {
    const server = createApiServer({ backend: new FakeBackend(), socketPath, log: silentLogger() });
    await server.start();
    return server;
  };

  test("is root's alone", async () => {
    expect((await stat(served.socketPath)).mode & 0o777).toBe(0o600);
    expect((await stat(join(served.socketPath, ".."))).mode & 0o777).toBe(0o700);
  });

  test("of a live daemon is left alone", async () => {
    await expect(start(served.socketPath)).rejects.toMatchObject({ code: "daemon-running" });
    expect((await get("/healthz")).text).toBe("ok");
  });

  test("of a dead daemon is replaced; what is no socket is not", async () => {
    const directory = await mkdtemp(join(tmpdir(), "gantry-api-"));
    try {
      const path = join(directory, "gantry.sock");
      // A socket whose server is gone, as after SIGKILL: closing would take it away, so it is kept by a hard link.
      const { link } = await import("node:fs/promises");
      const dead = createServer().listen(join(directory, "dead"));
      await new Promise((resolve) => dead.once("listening", resolve));
      await link(join(directory, "dead"), path);
      await new Promise((resolve) => dead.close(resolve));
      const server = await start(path);
      expect((await raw(path, "/healthz")).text).toBe("ok");
      await server.close();
      await expect(stat(path)).rejects.toMatchObject({ code: "ENOENT" });

      await writeFile(path, "precious");
      await expect(start(path)).rejects.toMatchObject({ code: "already-exists" });
      await rm(path);
      await mkdir(join(directory, "x".repeat(100)));
      const long = join(directory, "x".repeat(100), "gantry.sock");
      await expect(start(long)).rejects.toMatchObject({ code: "invalid-config" });
    } finally {
      await rm(directory, { recursive: true });
    }
  });
});
