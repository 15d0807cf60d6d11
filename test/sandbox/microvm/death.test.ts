import { expect, test } from "vitest";
import { reasonOfEnd } from "../../../src/sandbox/microvm/death.ts";

test.each([
  ["", "", "QEMU ended without a word: it was killed, or the guest switched itself off"],
  ["", "a\nqemu: terminating on signal 15 from pid 7\n\n", "QEMU ended: qemu: terminating on signal 15 from pid 7"],
  [
    "[    1.5] sysrq: Trigger a crash\r\n[    1.6] Kernel panic - not syncing: sysrq triggered crash\r\n[    1.6] CPU: 0\r\n",
    "",
    "the guest's kernel has crashed (kernel panic: sysrq triggered crash)",
  ],
  [
    "Kernel panic - not syncing: System is deadlocked on memory",
    "something",
    "the guest has run out of memory (kernel panic: System is deadlocked on memory)",
  ],
  [
    "Kernel panic - not syncing: Attempted to kill init! exitcode=0x0000000b",
    "",
    "the agent in the guest has died (kernel panic: Attempted to kill init! exitcode=0x0000000b)",
  ],
  ["Kernel panic - not syncing: \u001b[2Jü", "", "the guest's kernel has crashed (kernel panic: ?[2J?)"],
])("why a VM has ended, from %j and %j", (console, qemu, reason) => {
  expect(reasonOfEnd({ console, qemu, oom: false })).toBe(reason);
});

test("by which signal, and whether for want of memory", () => {
  const nothing = { console: "", qemu: "warming up\n", oom: false };
  const killed = "warming up\nQEMU was killed by signal 9 (Killed)\n";
  expect(reasonOfEnd({ ...nothing, signal: 9 })).toBe("QEMU ended: QEMU was killed by signal 9 (SIGKILL)");
  expect(reasonOfEnd({ ...nothing, qemu: killed })).toBe("QEMU ended: QEMU was killed by signal 9 (Killed)");
  for (const words of [{ signal: 9 }, { qemu: killed }])
    expect(reasonOfEnd({ ...nothing, ...words, oom: true })).toMatch(/^the kernel killed QEMU .*more memory/);
  // A server beside QEMU was killed, once, and QEMU has ended for another reason.
  expect(reasonOfEnd({ ...nothing, oom: true })).toBe("QEMU ended: warming up");
  expect(reasonOfEnd({ ...nothing, signal: 11, oom: true })).toContain("signal 11 (SIGSEGV)");
});
