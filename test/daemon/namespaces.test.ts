import { expect, test } from "vitest";
import type { ServedObject } from "../../src/api/contract.ts";
import { refuseFullNamespace, writtenNamespace } from "../../src/daemon/namespaces.ts";

function object(kind: string, name: string, more: object = {}): ServedObject {
  const metadata = { name, namespace: "shop", uid: name, resourceVersion: "1", creationTimestamp: "", ...more };
  return { apiVersion: "v1", kind, metadata };
}

const owned = { ownerReferences: [{ kind: "Deployment", name: "web", uid: "1" }] };

test("a namespace with something in it stays, and is told what that is", () => {
  const many = [..."abcdefg"].map((name) => object("ConfigMap", name));
  expect(() => refuseFullNamespace("shop", many)).toThrow(
    "namespace shop is not empty: it has configmap/a, configmap/b, configmap/c, configmap/d, configmap/e and 2 more.",
  );
  expect(() => refuseFullNamespace("default", [])).toThrow("this namespace may not be deleted");
});

test("what goes by itself, or is elsewhere, holds it not", () => {
  refuseFullNamespace("shop", [
    object("ReplicaSet", "web-1", owned),
    object("Pod", "web", { deletionTimestamp: "2026-01-01T00:00:00Z" }),
    object("ConfigMap", "other", { namespace: "other" }),
    object("Namespace", "shop", { namespace: undefined }),
  ]);
});

test("what a server adds to a namespace is not written", () => {
  const head = { apiVersion: "v1", kind: "Namespace" };
  const label = { "kubernetes.io/metadata.name": "shop" };
  const served = { ...head, metadata: { name: "shop", labels: label }, spec: { finalizers: ["kubernetes"] } };
  expect(writtenNamespace(served)).toEqual({ ...head, metadata: { name: "shop" } });
  expect(writtenNamespace({ ...served, metadata: { name: "shop", labels: { ...label, a: "b" } }, spec: {} })).toEqual({
    ...head,
    metadata: { name: "shop", labels: { a: "b" } },
  });
});
