import { stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { credentialsDir, listCredentials, removeCredential, type Secret } from "../../src/api/access/credentials.ts";
import { ensureServerKey } from "../../src/api/access/keys.ts";
import { until } from "./fake-backend.ts";
import { rest, SecureServed } from "./secure.ts";

let served: SecureServed;
let admin: Secret;
let adminToken: Secret;
let view: Secret;
beforeAll(async () => {
  served = await SecureServed.open();
  served.backend.put("web", { app: "web" });
  admin = await served.credential();
  adminToken = await served.credential({ kind: "token" });
  view = await served.credential({ role: "view", kind: "token" });
});
afterAll(async () => {
  await served[Symbol.asyncDispose]();
});

describe("who is let in", () => {
  test("a certificate and a token are; keys and credentials are root's alone, and no secret is kept", async () => {
    for (const secret of [admin, adminToken, view]) {
      expect((await served.ask("/api/v1/pods", secret)).status).toBe(200);
    }
    const files = ["ca.pem", "server.pem", ...["admin", "admin-2", "view"].map((name) => `credentials/${name}.json`)];
    for (const file of files) expect((await stat(join(served.keys, file))).mode & 0o777).toBe(0o600);
    for (const dir of [served.keys, credentialsDir(served.keys)]) expect((await stat(dir)).mode & 0o777).toBe(0o700);
    const kept = JSON.stringify(await listCredentials(served.keys));
    expect(kept).not.toContain(adminToken.kind === "token" ? adminToken.token : "");
  });

  test.each([
    ["/api/v1/pods", {}],
    ["/healthz", {}],
    ["/nowhere", {}],
    ["/api/v1/pods", { authorization: "Bearer gantry-wrong" }],
    ["/api/v1/pods", { authorization: `Bearer ${"x".repeat(4000)}` }],
    ["/api/v1/pods", { authorization: "Basic cm9vdDpyb290" }],
    ["/api/v1/pods", { authorization: "" }],
  ])("nobody else: %s %j", async (path, headers) => {
    const answer = await served.ask(path, undefined, { headers });
    expect(answer.status).toBe(401);
    expect(answer.asStatus()).toMatchObject({ kind: "Status", status: "Failure", reason: "Unauthorized", code: 401 });
    expect(answer.headers["www-authenticate"]).toContain("Bearer");
  });

  test("nor with a certificate of another authority, or one of ours that is no client's credential", async () => {
    await using other = await SecureServed.open();
    const foreign = await other.credential();
    const refused = await served.ask("/api/v1/pods", foreign);
    expect(refused.asStatus().message).toContain("another authority");
    const { key, certificate } = await ensureServerKey(served.keys, ["localhost"], Date.now());
    const answer = await served.ask("/api/v1/pods", { kind: "certificate", key, certificate });
    expect(answer.status).toBe(401);
  });

  test("nor after its time, nor after its removal, which also ends what goes on", async () => {
    const old = await served.credential({ name: "old", kind: "token", now: Date.now() - 2 * 86_400_000 });
    expect((await served.ask("/api/v1/pods", old)).asStatus().message).toContain("has expired");
    const gone = await served.credential({ name: "gone" });
    const watch = await served.connect(gone);
    const lines = rest(watch);
    watch.write("GET /api/v1/pods?watch=true HTTP/1.1\r\nhost: x\r\n\r\n");
    await until(() => watch.bytesRead > 0, "the watch to begin");
    await removeCredential(served.keys, "gone");
    expect((await served.ask("/api/v1/pods", gone)).asStatus().message).toContain("not known, or was removed");
    expect(await lines).toContain("200 OK");
    await expect(removeCredential(served.keys, "gone")).rejects.toMatchObject({ code: "not-found" });
  });

  test("a record that is damaged lets nobody in", async () => {
    await writeFile(join(credentialsDir(served.keys), "broken.json"), '{"name":"broken","role":"admin"}');
    expect((await listCredentials(served.keys)).map(({ name }) => name)).not.toContain("broken");
  });

  test("a connection that goes on from an earlier session is known, too", async () => {
    const first = await served.connect(admin);
    const session = await new Promise<Buffer>((resolve) => first.once("session", resolve));
    first.destroy();
    const again = await served.connect(admin, { session });
    expect(again.isSessionReused()).toBe(true);
    const said = rest(again);
    again.write("GET /version HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    expect(await said).toContain("200 OK");
  });
});

describe("view", () => {
  test.each([
    ["POST", "/apis/gantry.dev/v1/apply", 'User "view" cannot create'],
    ["DELETE", "/api/v1/namespaces/default/pods/web", 'pods "web" is forbidden: User "view" cannot delete resource'],
    ["PATCH", "/api/v1/namespaces/default/pods/web", "cannot patch"],
    ["PUT", "/apis/apps/v1/namespaces/default/deployments/web", "cannot update"],
    ["POST", "/apis/gantry.dev/v1/namespaces/default/pods/web/restart", "cannot create"],
    ["GET", "/api/v1/namespaces/default/pods/web/exec?command=id&stdout=true", "pods/exec"],
    ["POST", "/api/v1/namespaces/default/pods/web/exec?command=id&stdout=true", "pods/exec"],
    ["GET", "/api/v1/namespaces/default/pods/web/attach?stdout=true", "pods/attach"],
    ["GET", "/api/v1/namespaces/default/pods/web/portforward", "pods/portforward"],
    ["GET", "/api/v1/secrets", "secrets is forbidden"],
    ["GET", "/api/v1/namespaces/default/secrets/x", 'secrets "x" is forbidden'],
    ["GET", "/api/v1/namespaces/default/%73ecrets", "secrets is forbidden"],
  ])("%s %s is forbidden", async (method, path, message) => {
    const answer = await served.ask(path, view, { method });
    expect(answer.asStatus()).toMatchObject({ kind: "Status", reason: "Forbidden", code: 403 });
    expect(answer.asStatus().message).toContain(message);
    expect(served.backend.calls).toEqual([]);
  });

  test("it may not read all kinds, and is told of those that it may", async () => {
    const ask = async (kind: string, spec: object) => {
      const path = `/apis/authorization.k8s.io/v1/${kind.toLowerCase()}s`;
      const body = JSON.stringify({ apiVersion: "authorization.k8s.io/v1", kind, spec });
      const headers = { "content-type": "application/json" };
      return (await served.ask(path, view, { method: "POST", body, headers })).json();
    };
    for (const [resource, allowed] of [
      ["pods", true],
      ["secrets", false],
      ["*", false],
    ] as const) {
      const spec = { resourceAttributes: { verb: "get", group: resource === "*" ? "*" : "", resource } };
      expect(await ask("SelfSubjectAccessReview", spec)).toMatchObject({ status: { allowed } });
    }
    const { status } = await ask("SelfSubjectRulesReview", { namespace: "default" });
    expect(status).toMatchObject({ incomplete: false });
    expect(JSON.stringify(status)).toContain('"pods"');
    expect(JSON.stringify(status)).not.toMatch(/"secrets"|"resources":\["\*"\]/);
  });

  test.each([
    ["/api/v1/secrets#x", 400],
    ["/api/v1/namespaces/default/secrets/key#", 400],
    ["/api/v1/namespaces//secrets", 400],
    ["/api/v1/namespaces//secrets/key?a=b", 400],
    ["http://x/api/v1/secrets", 400],
    ["HTTPS://x/api/v1/namespaces/default/secrets/key", 400],
    ["*", 400],
    ["//api/v1/secrets", 400],
    ["/%61pi/v1/secrets/", 403],
    ["/api/v1/namespaces/default//secrets/x", 400],
    ["/api/v1/secrets?watch&resourceVersion=0", 403],
    ["/api/v1/namespaces/default/secrets/key/status", 403],
    ["/api/v1/secrets%23", 404],
    ["/api/v1/secrets;x", 404],
    ["/api/v1/%2573ecrets", 404],
    ["/api/v1/pods/../secrets", 404],
    ["/api/v1/namespaces/default%2Fsecrets", 404],
    ["/api/v1/namespaces/default/pods%2F..%2Fsecrets/key", 404],
  ])("no spelling of a path leads to a Secret: %s → %i", async (path, code) => {
    for (const accept of ["application/json", "application/json;as=Table;v=v1;g=meta.k8s.io"]) {
      const answer = await served.ask(path, view, { headers: { accept } });
      expect(answer.asStatus()).toMatchObject({ kind: "Status", code });
      expect(answer.text).not.toMatch(/MQ==|uid-Secret/);
    }
  });

  test("a WebSocket, too", async () => {
    const socket = await served.connect();
    const said = rest(socket);
    const token = view.kind === "token" ? view.token : "";
    socket.write(
      "GET /api/v1/namespaces/default/pods/web/exec?command=id&stdout=true HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\n" +
        `upgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\nauthorization: Bearer ${token}\r\n` +
        "sec-websocket-protocol: v5.channel.k8s.io\r\n\r\n",
    );
    expect(await said).toMatch(/^HTTP\/1.1 403[\s\S]+"reason":"Forbidden"/);
  });

  test("nobody can be somebody else", async () => {
    const answer = await served.ask("/api/v1/pods", admin, { headers: { "impersonate-user": "other" } });
    expect(answer.status).toBe(403);
  });
});
