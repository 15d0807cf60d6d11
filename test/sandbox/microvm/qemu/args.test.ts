import { expect, test } from "vitest";
import { directoryIn, qemuArguments, type VmArguments } from "../../../../src/sandbox/microvm/qemu/args.ts";
import { templateKey } from "../../../../src/sandbox/microvm/template/templates.ts";

const vm: VmArguments = {
  shape: { memoryMiB: 128, vcpus: 1, disks: 2, logPorts: 3 },
  accelerator: "tcg",
  kernel: "/boot/vmlinuz",
  initramfs: "/boot/initramfs",
  emptyDisk: "/run/empty-disk",
  directory: "/run/vms,1/a",
  incoming: false,
};
const line = (more: Partial<VmArguments> = {}): string => qemuArguments({ ...vm, ...more }).join(" ");

test("the devices are those of the shape, and their order is fixed", () => {
  const devices = qemuArguments(vm).filter((_, n, all) => all[n - 1] === "-device");
  expect(devices.map((device) => device.replace(/,.*name=/, " "))).toEqual([
    "virtio-serial-pci,max_ports=5",
    "virtserialport gantry.agent",
    "virtserialport gantry.log.0",
    "virtserialport gantry.log.1",
    "virtserialport gantry.log.2",
    "virtio-blk-pci,drive=disk0",
    "virtio-blk-pci,drive=disk1",
    "virtio-blk-pci,drive=scratch,werror=report,rerror=report",
    "virtio-net-pci,netdev=net0,romfile=",
    "pcie-root-port,id=hot,chassis=1",
  ]);
});

test("a template's memory is shared, a clone's is its own, and it waits for the state", () => {
  expect(line()).not.toContain("memory-backend");
  expect(line({ memoryFile: { path: "/t/memory", share: true } })).toContain("mem-path=/memory,share=on");
  const clone = line({ memoryFile: { path: "/t/memory", share: false }, incoming: true });
  expect(clone).toContain("mem-path=/memory,share=off");
  expect(clone).toMatch(/-incoming defer$/);
});

test("nothing that is not asked for, nothing privileged, and commas do no harm", () => {
  expect(line()).toContain("-nodefaults -no-user-config");
  expect(line()).toContain("-sandbox on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny");
  expect(line()).toContain("-name guest=/run/vms,,1/a,");
  expect(qemuArguments(vm).map(directoryIn).filter(Boolean)).toEqual(["/run/vms,1/a"]);
  for (const path of ["/boot", "/run/empty", "/t/memory", "tap0"]) expect(line()).not.toContain(path);
  expect(line({ accelerator: "kvm" })).toContain("-accel kvm -cpu host");
});

test("the key of a template changes with what it depends on, and with nothing else", () => {
  const facts = { shape: vm.shape, bootHash: "1", accelerator: "tcg", qemu: "/none", arguments: qemuArguments(vm) };
  expect(templateKey({ ...facts })).toBe(templateKey(facts));
  for (const more of [{ bootHash: "2" }, { accelerator: "kvm" }, { qemu: "/other" }, { arguments: ["-x"] }]) {
    expect(templateKey({ ...facts, ...more })).not.toBe(templateKey(facts));
  }
});
