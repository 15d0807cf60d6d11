import { describe, expect, it } from "vitest";
import { parseBytes, parseMilliCpu, parseQuantity } from "../../src/manifest/index.ts";

describe("parseQuantity", () => {
  it.each([
    ["0", 0],
    ["1", 1],
    ["100m", 0.1],
    ["1.5", 1.5],
    [".5", 0.5],
    ["5.", 5],
    ["+2", 2],
    ["-3Ki", -3072],
    ["64Mi", 67108864],
    ["1.5Gi", 1610612736],
    ["1k", 1000],
    ["2M", 2e6],
    ["1e3", 1000],
    ["1E3", 1000],
    ["12e-1", 1.2],
    ["1E", 1e18],
    ["8Ei", 2 ** 63],
    ["500n", 5e-7],
    ["3u", 3e-6],
  ])("reads %s", (text, value) => {
    expect(parseQuantity(text)).toBe(value);
  });

  it.each(["", "m", "1 Gi", "1gi", "1KI", "1e", "1e3Mi", "1.2.3", "0x10", "Infinity", "NaN", "1,5", "1K"])(
    "refuses %j",
    (text) => {
      expect(parseQuantity(text)).toBeUndefined();
    },
  );

  it("rounds cpu and memory up as the API server does", () => {
    expect(parseMilliCpu("0.1")).toBe(100);
    expect(parseMilliCpu("2")).toBe(2000);
    expect(parseMilliCpu("1500u")).toBe(2);
    expect(parseBytes("100m")).toBe(1);
    expect(parseBytes("0.1Gi")).toBe(107374183);
  });
});
