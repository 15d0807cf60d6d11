import { expect, test } from "vitest";
import { madeClaims } from "../../src/reconcile/made.ts";

const claim = (storage: string, name = "data-db-0") => ({
  apiVersion: "v1",
  kind: "PersistentVolumeClaim",
  metadata: { name, namespace: "default" },
  spec: { accessModes: ["ReadWriteOnce"], resources: { requests: { storage } } },
});

test("a claim that a controller made stays the same object while it says the same, however often it is made", () => {
  const first = madeClaims([claim("1Gi"), claim("1Gi", "data-db-1")], new Map());
  const second = madeClaims([claim("1Gi"), claim("2Gi", "data-db-1")], first);
  expect(second.get("default/data-db-0")).toBe(first.get("default/data-db-0"));
  expect(second.get("default/data-db-1")?.spec.resources).toEqual({ requests: { storage: "2Gi" } });
});

test("what is no claim any more is left out", () => {
  expect(madeClaims([{ ...claim("1Gi"), kind: "Odd" }, claim("1Gi", "good")], new Map()).size).toBe(1);
});
