import { expect, test } from "vitest";
import type { VmPlan } from "../../../../src/sandbox/microvm/plan.ts";
import { directoryIn, qemuArguments, type VmArguments } from "../../../../src/sandbox/microvm/qemu/args.ts";
import { templateKey } from "../../../../src/sandbox/microvm/template/templates.ts";

const vm: VmArguments = {
  shape: { memoryMiB: 128, vcpus: 1, disks: 2, logPorts: 3 },
  accelerator: "tcg",
  machine: "q35",
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

test("the machine microvm has its devices on virtio-mmio, each in its slot, and a console without a serial port", () => {
  const kvm: Partial<VmArguments> = { accelerator: "kvm", machine: "microvm" };
  const devices = qemuArguments({ ...vm, ...kvm }).filter((_, n, all) => all[n - 1] === "-device");
  expect(devices).toEqual([
    "virtio-serial-device,bus=virtio-mmio-bus.23,max_ports=5",
    "virtconsole,chardev=console,nr=0",
    "virtserialport,chardev=agent,name=gantry.agent",
    "virtserialport,chardev=log0,name=gantry.log.0",
    "virtserialport,chardev=log1,name=gantry.log.1",
    "virtserialport,chardev=log2,name=gantry.log.2",
    "virtio-blk-device,bus=virtio-mmio-bus.22,drive=disk0",
    "virtio-blk-device,bus=virtio-mmio-bus.21,drive=disk1",
    "virtio-blk-device,bus=virtio-mmio-bus.20,drive=scratch,werror=report,rerror=report",
    "virtio-net-device,bus=virtio-mmio-bus.19,netdev=net0",
  ]);
  const text = line(kvm);
  expect(text).toContain("-M microvm,x-option-roms=off,pit=off,pic=off,isa-serial=off,rtc=off -accel kvm -cpu host");
  expect(text).toMatch(/ -append quiet .* console=hvc0 -/);
  expect(text).not.toContain(" -serial ");
  expect(line({ ...kvm, memoryFile: { path: "/t/memory", share: true } })).toContain("rtc=off,memory-backend=ram");
});

test("the key of a template changes with what it depends on, and with nothing else", () => {
  const jailer = { path: "/j", readOnlyMemory: "/r", preload: "/p" };
  const boot = { kernel: { id: "k", image: "/k" }, initramfs: "/i", jailer, hash: "1" };
  const plan: VmPlan = { shape: vm.shape, accelerator: "tcg", machine: "q35", why: "because", boot };
  const facts = { plan, qemu: "/none", arguments: qemuArguments(vm) };
  expect(templateKey({ ...facts })).toBe(templateKey(facts));
  expect(templateKey({ ...facts, plan: { ...plan, why: "for another reason" } })).toBe(templateKey(facts));
  for (const more of [{ qemu: "/other" }, { arguments: ["-x"] }]) {
    expect(templateKey({ ...facts, ...more })).not.toBe(templateKey(facts));
  }
  const others: Partial<VmPlan>[] = [
    { boot: { ...boot, hash: "2" } },
    { accelerator: "kvm" },
    { machine: "microvm" },
    { shape: { ...vm.shape, memoryMiB: 256 } },
  ];
  for (const more of others) {
    expect(templateKey({ ...facts, plan: { ...plan, ...more } })).not.toBe(templateKey(facts));
  }
});
