/** What the real kubectls send in protobuf must say what they write as JSON. */
import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer, request, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buffer } from "node:stream/consumers";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { decodeBody } from "../../../src/api/protobuf/decode.ts";
import { debianKubectl, KUBECTL } from "../../support/kubectl.ts";
import { type Served, serve } from "../fake-backend.ts";

interface Sent {
  readonly method: string;
  readonly path: string;
  readonly type: string;
  readonly body: Buffer;
}

let served: Served;
let proxy: Server;
let home: string;
let sent: Sent[] = [];
beforeAll(async () => {
  served = await serve();
  home = await mkdtemp(join(tmpdir(), "gantry-kubectl-"));
  proxy = createServer(async (from, to) => {
    const { method = "", url: path = "", headers } = from;
    const body = await buffer(from);
    if (body.length > 0) sent.push({ method, path, type: headers["content-type"] ?? "", body });
    const inner = request({ socketPath: served.socketPath, method, path, headers }, (answer) => {
      to.writeHead(answer.statusCode ?? 500, answer.headers);
      answer.pipe(to);
    });
    inner.end(body);
  });
  await new Promise<void>((resolve) => proxy.listen(0, "127.0.0.1", resolve));
});
afterAll(async () => {
  proxy.closeAllConnections();
  await new Promise((resolve) => proxy.close(resolve));
  await served.close();
  await rm(home, { recursive: true });
});
beforeEach(() => {
  sent = [];
});

const PROTOBUF = "application/vnd.kubernetes.protobuf";

function kubectl(program: string, ...args: string[]): Promise<{ code: number; out: string; err: string }> {
  const { port } = proxy.address() as AddressInfo;
  const env = { HOME: home, PATH: "/usr/bin:/bin" };
  return new Promise((resolve) => {
    execFile(program, ["--server", `http://127.0.0.1:${port}`, ...args], { env, timeout: 60_000 }, (error, out, err) =>
      resolve({ code: typeof error?.code === "number" ? error.code : error === null ? 0 : -1, out, err }),
    );
  });
}

/** Null says in JSON what protobuf says by silence; Go's release decides whether it is written. */
function withoutNulls(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value), (_name, one) => (one === null ? undefined : one));
}

const CREATES: readonly (readonly string[])[] = [
  ["configmap", "settings-2", "--from-literal=a=1", "--from-literal=empty=", "--from-file=self=/etc/hostname"],
  ["configmap", "binary", "--from-file=/bin/true"],
  ["secret", "generic", "key-2", "--from-literal=password=päss", "--from-literal=empty="],
  ["secret", "docker-registry", "pull", "--docker-username=u", "--docker-password=p", "--docker-server=r.example"],
  ["deployment", "web", "--image=localhost/hello:1", "--replicas=0", "--port=80"],
  ["deployment", "two", "--image=localhost/a:1", "--image=localhost/b:1", "--replicas=3"],
  ["service", "clusterip", "svc", "--tcp=80:8080", "--tcp=443:https"],
  ["service", "nodeport", "np", "--tcp=80", "--node-port=30080"],
  ["service", "clusterip", "headless", "--clusterip=None"],
  ["service", "externalname", "ext", "--external-name=example.com"],
  ["job", "once", "--image=localhost/hello:1", "--", "echo", "hi"],
  ["cronjob", "often", "--image=localhost/hello:1", "--schedule=*/5 * * * *", "--restart=Never", "--", "date"],
  ["namespace", "other"],
];

/** Before what comes after "--", where options are the command's. */
function asJson(args: readonly string[]): readonly string[] {
  return [...args.slice(0, 2), "--dry-run=client", "-o", "json", ...args.slice(2)];
}

function objectOf({ type, body }: Sent): Record<string, unknown> {
  return type === PROTOBUF ? decodeBody(body) : JSON.parse(body.toString());
}

test.each(CREATES.map((args) => [args.join(" "), args] as const))("kubectl create %s", async (_text, args) => {
  // Its answer may be a refusal: what is asked for is looked at here.
  await kubectl(KUBECTL, "create", ...args);
  const twin = await kubectl(KUBECTL, "create", ...asJson(args));
  expect(twin.err).toBe("");
  const [body] = sent;
  expect(body).toMatchObject({ method: "POST", type: PROTOBUF });
  const decoded = body === undefined ? {} : objectOf(body);
  const { metadata, ...rest } = JSON.parse(twin.out) as { metadata: object };
  const wanted = { ...rest, metadata: { ...(decoded["metadata"] as object), ...metadata } };
  expect(withoutNulls(decoded)).toEqual(withoutNulls(wanted));
});

const PROGRAMS: readonly (readonly [string, () => Promise<string | undefined>])[] = [
  ["of this machine", async () => KUBECTL],
  ["of Debian", debianKubectl],
];

describe.each(PROGRAMS)("the kubectl %s", (_name, find) => {
  let program = "";
  beforeAll(async () => {
    program = (await find()) ?? "";
    expect(program).not.toBe("");
  }, 150_000);

  test("makes objects, asks what it may, and takes objects away", async () => {
    const run = async (...args: string[]): Promise<string> => {
      const { code, out, err } = await kubectl(program, ...args);
      expect([code, err]).toEqual([0, ""]);
      return out;
    };
    await run("create", "secret", "generic", "mine", "--from-literal=password=päss");
    const { data } = JSON.parse(await run("get", "secret", "mine", "-o", "json"));
    expect(Buffer.from(data.password, "base64").toString()).toBe("päss");
    await run("create", "job", "now", "--image=localhost/hello:1", "--", "echo", "a b");
    const job = JSON.parse(await run("get", "job", "now", "-o", "json"));
    expect(job.spec.template.spec.containers[0].command).toEqual(["echo", "a b"]);
    expect(await run("auth", "can-i", "delete", "pods")).toBe("yes\n");
    expect(await run("auth", "can-i", "--list")).toContain("*.*");
    await run("delete", "secret/mine", "job/now", "--wait=false");
  });
});
