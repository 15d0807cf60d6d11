import fc from "fast-check";
import protobuf from "protobufjs/minimal.js";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { decodeBody } from "../../../src/api/protobuf/decode.ts";
import { type Served, serve } from "../fake-backend.ts";
import { type Answer, raw } from "../raw.ts";
import { encode, encodeBody, envelope } from "./encode.ts";

const PROTOBUF = "application/vnd.kubernetes.protobuf";

const POD = {
  apiVersion: "v1",
  kind: "Pod",
  metadata: {
    name: "web",
    generation: 3,
    creationTimestamp: "2026-01-31T12:00:00Z",
    deletionGracePeriodSeconds: 0,
    labels: { app: "web", empty: "" },
    ownerReferences: [{ apiVersion: "apps/v1", kind: "ReplicaSet", name: "web", uid: "1", controller: false }],
    managedFields: [
      { manager: "me", operation: "Apply", fieldsV1: { "f:spec": { "f:x": {} } }, fieldsType: "FieldsV1" },
    ],
  },
  spec: {
    hostNetwork: true,
    automountServiceAccountToken: false,
    terminationGracePeriodSeconds: 0,
    securityContext: { supplementalGroups: [1, 2 ** 40], runAsUser: 0, sysctls: [{ name: "a", value: "1" }] },
    tolerations: [{ key: "x", operator: "Exists", tolerationSeconds: -1 }],
    volumes: [
      { name: "a", emptyDir: { medium: "Memory", sizeLimit: "1Gi" } },
      { name: "b", secret: { secretName: "s", defaultMode: 256, items: [{ key: "k", path: "p" }] } },
    ],
    containers: [
      {
        name: "app",
        image: "localhost/hello:1",
        command: ["echo", ""],
        env: [
          { name: "A", value: "ä" },
          { name: "B", valueFrom: { configMapKeyRef: { name: "cm", key: "k" } } },
        ],
        resources: { limits: { cpu: "500m", memory: "1Gi" }, requests: { cpu: "0" } },
        livenessProbe: { httpGet: { path: "/", port: "http" }, periodSeconds: 5 },
        readinessProbe: { tcpSocket: { port: 80 } },
        ports: [{ name: "http", containerPort: 80 }],
      },
    ],
  },
};

test("an object comes out as its JSON", () => {
  expect(decodeBody(encodeBody(POD))).toEqual({ ...POD, spec: { ...POD.spec } });
});

test.each([
  [{ apiVersion: "v1", kind: "Secret", metadata: {}, data: { a: "AP8=", b: "" }, type: "Opaque" }],
  [
    {
      apiVersion: "v1",
      kind: "Service",
      metadata: {},
      spec: {
        ports: [
          { port: 0, targetPort: 0 },
          { port: 1, targetPort: "x" },
        ],
      },
    },
  ],
  [
    {
      apiVersion: "apps/v1",
      kind: "Deployment",
      metadata: { creationTimestamp: null },
      spec: { replicas: 0, strategy: { rollingUpdate: { maxSurge: "25%", maxUnavailable: 0 } } },
    },
  ],
  [
    {
      apiVersion: "apps/v1",
      kind: "DeleteOptions",
      gracePeriodSeconds: 0,
      preconditions: { uid: "u" },
      dryRun: ["All"],
    },
  ],
  [
    {
      apiVersion: "policy/v1beta1",
      kind: "Eviction",
      metadata: { name: "web" },
      deleteOptions: { gracePeriodSeconds: 1 },
    },
  ],
  [{ apiVersion: "autoscaling/v1", kind: "Scale", metadata: { name: "web" }, spec: {} }],
  [
    {
      apiVersion: "authentication.k8s.io/v1",
      kind: "SelfSubjectReview",
      status: { userInfo: { extra: { a: ["b", "c"] } } },
    },
  ],
  [
    {
      apiVersion: "v1",
      kind: "Event",
      metadata: {},
      eventTime: "1969-12-31T23:59:59.500000Z",
      lastTimestamp: "2026-01-01T00:00:00Z",
    },
  ],
  [{ apiVersion: "apps/v1", kind: "ControllerRevision", data: { spec: { x: [1] } }, revision: 9007199254740991 }],
])("%j", (object) => {
  expect(decodeBody(encodeBody(object))).toEqual(object);
});

test("keys that every object has are keys of a map like any other", () => {
  const data = JSON.parse('{"__proto__": "a", "constructor": "b"}');
  const decoded = decodeBody(encodeBody({ apiVersion: "v1", kind: "ConfigMap", data }));
  expect(JSON.stringify(decoded["data"])).toBe('{"__proto__":"a","constructor":"b"}');
});

test("fields that nobody knows are told, unless there is nothing in them", () => {
  const writer = protobuf.Writer.create();
  writer
    .uint32((99 << 3) | 2)
    .string("x")
    .uint32((98 << 3) | 0)
    .uint32(0)
    .uint32((97 << 3) | 2)
    .string("");
  const meta = protobuf.Writer.create().uint32(10).string("v1").uint32(18).string("ConfigMap").finish();
  const body = envelope(meta, Buffer.concat([encode({ data: { a: "1" } }, "core/v1.ConfigMap"), writer.finish()]));
  expect(decodeBody(body)).toEqual({
    apiVersion: "v1",
    kind: "ConfigMap",
    data: { a: "1" },
    protobufField99: true,
  });
});

describe("what is no such object", () => {
  const meta = (kind: string) => protobuf.Writer.create().uint32(10).string("v1").uint32(18).string(kind).finish();
  test.each([
    ["nothing", Buffer.alloc(0), /does not begin with 'k8s'/],
    ["JSON", Buffer.from("{}"), /does not begin with 'k8s'/],
    ["no envelope", Buffer.from("k8s\0"), /does not say of what kind/],
    ["another kind", envelope(meta("Widget"), Buffer.alloc(0)), /Widget of v1 is not known/],
    ["a kind of another's name", envelope(meta("../x"), Buffer.alloc(0)), /is not known/],
    ["text that is not UTF-8", envelope(meta("Pod"), Buffer.from([10, 3, 10, 1, 255])), /metadata\.name: /],
    ["a number as text", envelope(meta("Pod"), Buffer.from([10, 2, 8, 1])), /metadata\.name: a value of the type 2/],
    ["a length beyond the end", envelope(meta("Pod"), Buffer.from([10, 255, 255, 255, 255, 7])), /metadata: /],
    ["a group", envelope(meta("Pod"), Buffer.from([11, 12])), /field 1 of the type 3/],
    [
      "a time that there is not",
      envelope(meta("Pod"), Buffer.from([10, 13, 66, 11, 8, ...Array(8).fill(255), 127])),
      /no time|metadata/,
    ],
    ["in a list", envelope(meta("Pod"), Buffer.from([18, 6, 18, 0, 18, 2, 10, 9])), /spec\.containers\[1\]\.name: /],
  ])("%s", (_name, body, message) => {
    expect(() => decodeBody(body)).toThrowError(
      expect.objectContaining({ code: "usage", message: expect.stringMatching(message) }),
    );
  });

  test("JSON in it that is nested without end", () => {
    let fieldsV1: unknown = {};
    for (let depth = 0; depth < 1000; depth++) fieldsV1 = { "f:a": fieldsV1 };
    const body = encodeBody({ apiVersion: "v1", kind: "ConfigMap", metadata: { managedFields: [{ fieldsV1 }] } });
    expect(() => decodeBody(body)).toThrowError(expect.objectContaining({ code: "usage" }));
  });

  test("whatever is cut off or changed is read or refused in words", () => {
    const body = encodeBody(POD);
    const read = (bytes: Buffer): void => {
      try {
        JSON.stringify(decodeBody(bytes));
      } catch (error) {
        expect(error).toMatchObject({ code: "usage" });
      }
    };
    for (let length = 0; length < body.length; length += 1) read(body.subarray(0, length));
    const change = fc.array(fc.tuple(fc.nat(body.length - 1), fc.nat(255)), { minLength: 1, maxLength: 4 });
    fc.assert(
      fc.property(change, (changes) => {
        const changed = Buffer.from(body);
        for (const [place, value] of changes) changed[place] = value;
        read(changed);
      }),
      { numRuns: 2000 },
    );
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => read(envelope(meta("Pod"), bytes))),
      { numRuns: 2000 },
    );
  });
});

describe("the API", () => {
  let served: Served;
  beforeEach(async () => {
    served = await serve();
  });
  afterEach(() => served.close());
  const PATH = "/api/v1/namespaces/default/configmaps";
  const send = (method: string, path: string, body: Buffer, accept = `${PROTOBUF},application/json`): Promise<Answer> =>
    raw(served.socketPath, path, { method, headers: { "content-type": PROTOBUF, accept }, body });
  const configMap = (data: object, more: object = {}) =>
    encodeBody({ apiVersion: "v1", kind: "ConfigMap", metadata: { name: "mine", ...more }, data });

  test("takes objects, and answers in JSON", async () => {
    const made = await send("POST", PATH, configMap({ a: "1" }));
    expect([made.status, made.headers["content-type"]]).toEqual([201, expect.stringContaining("application/json")]);
    expect(made.json()).toMatchObject({ metadata: { name: "mine" }, data: { a: "1" } });
    const changed = await send("PUT", `${PATH}/mine`, configMap({ a: "2" }));
    expect(changed.json()).toMatchObject({ data: { a: "2" } });
    const options = encodeBody({ apiVersion: "v1", kind: "DeleteOptions", dryRun: ["All"] });
    expect((await send("DELETE", `${PATH}/mine`, options)).status).toBe(200);
    expect((await raw(served.socketPath, `${PATH}/mine`)).status).toBe(200);
  });

  test("answers a protobuf client only that takes JSON, too", async () => {
    const refused = await send("POST", PATH, configMap({}), PROTOBUF);
    expect(refused.asStatus()).toMatchObject({ kind: "Status", code: 406, reason: "NotAcceptable" });
    expect(served.backend.writes).toEqual([]);
  });

  test.each([
    ["another kind", encodeBody({ apiVersion: "v1", kind: "Secret", metadata: { name: "mine" } }), 400],
    ["an object cut short", configMap({ a: "1" }).subarray(0, -1), 400],
    ["nothing", Buffer.alloc(0), 400],
    ["too much", Buffer.alloc(3 * 1024 * 1024 + 1), 413],
  ])("refuses %s", async (_name, body, code) => {
    expect((await send("POST", PATH, body)).asStatus()).toMatchObject({ kind: "Status", code });
  });

  test.each([
    ["Strict", 422, []],
    ["Warn", 201, ['299 - "unknown field \\"protobufField99\\""']],
    ["Ignore", 201, []],
  ])("fieldValidation=%s of a number that nobody knows → %i", async (mode, code, warnings) => {
    const meta = protobuf.Writer.create().uint32(10).string("v1").uint32(18).string("ConfigMap").finish();
    const more = protobuf.Writer.create()
      .uint32((99 << 3) | 0)
      .uint32(1)
      .finish();
    const object = encode({ metadata: { name: "mine" }, data: { a: "1" } }, "core/v1.ConfigMap");
    const answer = await send("POST", `${PATH}?fieldValidation=${mode}`, envelope(meta, Buffer.concat([object, more])));
    expect(answer.status).toBe(code);
    expect([answer.headers["warning"] ?? []].flat()).toEqual(warnings);
  });

  test("a patch is never protobuf", async () => {
    await send("POST", PATH, configMap({ a: "1" }));
    expect((await send("PATCH", `${PATH}/mine`, configMap({}))).status).toBe(415);
  });
});
