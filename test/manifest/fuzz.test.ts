import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parseManifest } from "../../src/manifest/index.ts";

const EXAMPLE = `# a pod with most of what there is
apiVersion: v1
kind: Pod
metadata:
  name: web
  labels: {app: web, "example.com/tier": front}
spec:
  restartPolicy: OnFailure
  hostAliases:
  - ip: 10.0.0.1
    hostnames: [a.example]
  initContainers:
  - name: setup
    image: &image busybox:1
    command: ["sh", "-c", "echo hello > /data/x"]
    volumeMounts: &mounts
    - {name: data, mountPath: /data}
  containers:
  - name: app
    image: *image
    env:
    - name: A
      value: "1"
    - name: B
      valueFrom: {fieldRef: {fieldPath: metadata.name}}
    - name: C
      valueFrom:
        secretKeyRef: {name: s, key: k, optional: true}
    ports:
    - {name: http, containerPort: 80, hostPort: 8080}
    resources:
      limits: {cpu: 500m, memory: 64Mi}
    volumeMounts: *mounts
    securityContext: {runAsUser: 1000, capabilities: {drop: [ALL]}}
  volumes:
  - name: data
    emptyDir: {sizeLimit: 1Gi}
---
apiVersion: v1
kind: List
items:
- apiVersion: v1
  kind: Secret
  metadata: {name: s}
  data: {k: aGVsbG8=}
- apiVersion: v1
  kind: ConfigMap
  metadata: {name: c}
  data:
    text: |
      two
      lines
`;

/** Parses, and checks that every problem has a place inside the file. */
function parse(bytes: Uint8Array): void {
  const { objects, problems } = parseManifest("f.yaml", bytes);
  const lines = Buffer.from(bytes).toString("latin1").split(/\n/).length;
  for (const { place, message } of problems) {
    expect(place.line).toBeGreaterThanOrEqual(1);
    expect(place.line).toBeLessThanOrEqual(lines);
    expect(place.column).toBeGreaterThanOrEqual(1);
    expect(message).not.toBe("");
    expect(message).not.toContain("\n");
  }
  for (const loaded of objects) expect(loaded.object.metadata.name).not.toBe("");
}

const text = (content: string) => Buffer.from(content);

describe("parsing never fails", () => {
  it("on the example", () => {
    expect(parseManifest("f", text(EXAMPLE))).toMatchObject({ problems: [], objects: { length: 3 } });
  });

  it("on arbitrary bytes", () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), parse), { numRuns: 500 });
  });

  it("on arbitrary text of YAML's characters", () => {
    const piece = fc.constantFrom(
      "a",
      ":",
      " ",
      "\n",
      "- ",
      "[",
      "]",
      "{",
      "}",
      "&a",
      "*a",
      "<<: ",
      "---",
      "\t",
      "'",
      '"',
      "|",
      ">",
      "#",
      "!",
      "%",
      "?",
      ",",
      "~",
      "0",
      "__proto__",
      "kind: Pod",
      "apiVersion: v1",
      "\n  ",
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 40 }), (pieces) => parse(text(pieces.join("")))),
      { numRuns: 1000 },
    );
  });

  it("on arbitrary data of the right kind", () => {
    const kinds = fc.constantFrom(
      ["v1", "Pod"],
      ["v1", "ConfigMap"],
      ["v1", "Secret"],
      ["node.k8s.io/v1", "RuntimeClass"],
      ["v1", "List"],
    );
    const known = fc.constantFrom(
      "spec",
      "metadata",
      "data",
      "items",
      "name",
      "containers",
      "volumes",
      "labels",
      "stringData",
      "status",
      "image",
      "env",
      "resources",
      "limits",
      "handler",
      "__proto__",
      "constructor",
      "toString",
    );
    const { tree } = fc.letrec<{ tree: unknown }>((tie) => ({
      tree: fc.oneof(
        { depthSize: "medium" },
        fc.jsonValue({ maxDepth: 1 }),
        fc.array(tie("tree"), { maxLength: 4 }),
        fc.dictionary(known, tie("tree"), { maxKeys: 6 }),
      ),
    }));
    const document = fc.tuple(kinds, fc.dictionary(known, tree, { maxKeys: 6 }));
    fc.assert(
      fc.property(document, ([[apiVersion, kind], rest]) => parse(text(JSON.stringify({ ...rest, apiVersion, kind })))),
      { numRuns: 500 },
    );
  });

  it("on the example cut off at any byte", () => {
    for (let end = 0; end < EXAMPLE.length; end += 1) parse(text(EXAMPLE.slice(0, end)));
  });

  it("on the example with lines deleted, doubled, swapped or indented", () => {
    const lines = EXAMPLE.split("\n");
    const at = fc.nat({ max: lines.length - 1 });
    const mutation = fc.record({
      how: fc.constantFrom("delete", "double", "swap", "indent", "outdent", "quote"),
      at,
      other: at,
    });
    fc.assert(
      fc.property(fc.array(mutation, { minLength: 1, maxLength: 4 }), (mutations) => {
        const changed = [...lines];
        for (const { how, at: index, other } of mutations) {
          const line = changed[index] ?? "";
          if (how === "delete") changed.splice(index, 1);
          else if (how === "double") changed.splice(other, 0, line);
          else if (how === "swap") [changed[index], changed[other]] = [changed[other] ?? "", line];
          else
            changed[index] =
              how === "indent"
                ? `  ${line}`
                : how === "outdent"
                  ? line.replace(/^ {2}/, "")
                  : line.replace(": ", ': "');
        }
        parse(text(changed.join("\n")));
      }),
      { numRuns: 500 },
    );
  });
});
