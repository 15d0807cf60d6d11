import { expect, test } from "vitest";
import { isMounted, parseMounts, readMounts } from "../../src/system/mounts.ts";

test("mountinfo lines, with and without optional fields, and with escaped characters", () => {
  const text = [
    "36 35 98:0 /mnt1 /mnt\\0402 rw,noatime shared:7 master:1 - ext3 /dev/root\\134x ro,errors=continue",
    "22 27 0:21 / /proc rw,relatime - proc proc rw",
    "nonsense",
    "",
  ].join("\n");
  expect(parseMounts(text)).toEqual([
    { path: "/mnt 2", type: "ext3", source: "/dev/root\\x", readOnly: true, shared: true, slave: true },
    { path: "/proc", type: "proc", source: "proc", readOnly: false, shared: false, slave: false },
  ]);
});

test("this machine's own", async () => {
  expect((await readMounts()).some((mount) => mount.path === "/proc" && mount.type === "proc")).toBe(true);
  expect(await isMounted("/proc")).toBe(true);
  expect(await isMounted("/proc/self/nothing/here")).toBe(false);
});
