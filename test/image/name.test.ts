import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { chooseImage } from "../../src/image/choose.ts";
import { normalizeName, parseReference } from "../../src/image/index.ts";
import { isGantryError } from "../../src/system/errors.ts";

const DIGEST = `sha256:${"a".repeat(64)}`;

describe("image names", () => {
  test.each([
    ["busybox", "docker.io/library/busybox:latest"],
    ["busybox:1.36", "docker.io/library/busybox:1.36"],
    ["grafana/grafana", "docker.io/grafana/grafana:latest"],
    ["docker.io/busybox", "docker.io/library/busybox:latest"],
    ["index.docker.io/library/busybox:1", "docker.io/library/busybox:1"],
    ["localhost/hello:1", "localhost/hello:1"],
    ["localhost:5000/a/b", "localhost:5000/a/b:latest"],
    ["registry.example.com:443/a_b/c__d/e-f.g:v1.2-x_y", "registry.example.com:443/a_b/c__d/e-f.g:v1.2-x_y"],
    ["[::1]:5000/x", "[::1]:5000/x:latest"],
    [`busybox@${DIGEST}`, `docker.io/library/busybox@${DIGEST}`],
    [`quay.io/x/y:1@${DIGEST}`, `quay.io/x/y@${DIGEST}`],
  ])("%s means %s", (name, full) => {
    expect(normalizeName(name)).toBe(full);
  });

  test.each([
    ["", "empty"],
    ["Busybox", "capital letters"],
    ["Bad Name", "capital letters"],
    ["a//b", "empty"],
    ["busybox:", "tag"],
    ["busybox:-x", "tag"],
    [`busybox:${"x".repeat(129)}`, "tag"],
    ["busybox@sha256:abc", "64 hex digits"],
    ["busybox@md5:abc", "sha256"],
    [`${"a".repeat(300)}`, "longer than 255"],
    ["a".repeat(64), "an id, not a name"],
    ["-x", "lower-case letters"],
    ["a b", "lower-case letters"],
    ["../x", "host"],
    ["exa mple.com/x", "host"],
    ["hello world:latest", "lower-case"],
  ])("%j is refused", (name, why) => {
    expect(() => normalizeName(name)).toThrow(why);
  });

  test("a normalized name is its own normalization, and nothing else than name-invalid is ever thrown", () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.stringMatching(/^[a-z0-9./:@_-]{0,40}$/)), (name) => {
        try {
          const full = normalizeName(name);
          expect(normalizeName(full)).toBe(full);
          expect(parseReference(full).repository).toMatch(/^[^/]+\//);
        } catch (error) {
          expect(isGantryError(error, "name-invalid")).toBe(true);
        }
      }),
    );
  });

  test("long hostile names are refused quickly", () => {
    expect(() => normalizeName(`${"a-".repeat(50_000)}!`)).toThrow("invalid image name");
  });
});

describe("choosing among several images", () => {
  const two = [{ names: ["busybox:1"] }, { names: ["localhost/hello:2", "x"] }];

  test("the only image needs no name", () => {
    expect(chooseImage([{ names: [] }], "localhost/any:1")).toBe(0);
  });
  test("the image with the wanted name, however it is spelled", () => {
    expect(chooseImage(two, "docker.io/library/busybox:1")).toBe(0);
    expect(chooseImage(two, "docker.io/library/x:latest")).toBe(1);
  });
  test("a bare tag names an image when only one has it", () => {
    expect(chooseImage([{ names: ["v1"] }, { names: ["v2"] }], "localhost/a:v2")).toBe(1);
    expect(() => chooseImage([{ names: ["v1"] }, { names: ["v1"] }], "localhost/a:v1")).toThrow("holds 2 images");
  });
  test("otherwise the names inside are listed", () => {
    expect(() => chooseImage(two, "localhost/other:1")).toThrow(
      /2 images and none is localhost\/other:1: busybox:1, localhost\/hello:2/,
    );
    expect(() => chooseImage([], "localhost/a:1")).toThrow("no image");
  });
});
