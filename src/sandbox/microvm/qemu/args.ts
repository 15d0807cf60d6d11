/** The command line of a micro-VM's QEMU. Pure. */
import type { VmAccelerator, VmMachine } from "../../driver.ts";

/** What the virtual hardware consists of. A template serves every VM of its shape, and no other. */
export interface VmShape {
  readonly memoryMiB: number;
  readonly vcpus: number;
  /** Read-only disks for images. The scratch disk comes after them. */
  readonly disks: number;
  /** Log ports: one per running container, and one to switch to when a log file is replaced. */
  readonly logPorts: number;
}

export type Accelerator = VmAccelerator;
export type Machine = VmMachine;

export interface VmArguments {
  readonly shape: VmShape;
  readonly accelerator: Accelerator;
  readonly machine: Machine;
  /** Files on the host; QEMU sees them at VIEW. */
  readonly kernel: string;
  readonly initramfs: string;
  /** What every disk is before it has an image: sparse, as large as any image file. */
  readonly emptyDisk: string;
  /** Absolute path of the directory that the VM is in. QEMU cannot go there; it tells whose process it is. */
  readonly directory: string;
  /** A file on tmpfs with the guest's memory. A template's own is shared, a clone's copied when it is written to. */
  readonly memoryFile?: { readonly path: string; readonly share: boolean };
  /** QEMU is given a connection to the server of hostPath volumes, after the other descriptors. */
  readonly shares?: boolean;
  /** Waits for the state of a template instead of booting. */
  readonly incoming: boolean;
}

/** What the jailer makes in a VM's directory. */
export const VM_FILES = {
  qmp: "qmp.sock",
  agent: "agent.sock",
  jailer: "jailer.sock",
  console: "console.log",
  log: "qemu.log",
  pid: "qemu.pid",
} as const;

/** Where QEMU finds the files that it needs from its start on, in its view of the file system. */
export const VIEW = {
  kernel: "/kernel",
  initramfs: "/initramfs",
  emptyDisk: "/empty-disk",
  memory: "/memory",
  readOnlyMemory: "/readonly-memory.so",
  state: "/state.sock",
} as const;

/** Which descriptors QEMU is given: the scratch disk, a template's state; then what the jailer opens (jail/jailer.h). */
const SCRATCH_FD = 3;
export const STATE_FD = 4;
const shareFd = (vm: Pick<VmArguments, "incoming">): number => (vm.incoming ? STATE_FD + 1 : STATE_FD);
const AGENT_FD = 20;
const QMP_FD = 21;
const MONITOR_FD = 22;
const CONSOLE_FD = 23;
const TAP_FD = 24;

/** Sets of descriptors that QEMU may open as files; those for disks and logs are filled as they are needed. */
const SCRATCH_SET = 8;
const CONSOLE_SET = 9;
export const diskSet = (slot: number): number => 100 + slot;
export const logSet = (port: number): number => 200 + port;
export const fileOf = (set: number): string => `/dev/fdset/${set}`;

/** Node names on the block layer's graph: `disk` is what the guest's device has, `empty` what is below it at first. */
export const diskNode = (slot: number): string => `disk${slot}`;
export const emptyNode = (slot: number): string => `empty${slot}`;
export const SHARE_CHARDEV = "share";
/** What the guest knows the device of hostPath volumes by. */
export const SHARE_TAG = "gantry";
export const HOT_PORT = "hot";
export const logChardev = (port: number): string => `log${port}`;

/** QEMU's options of a machine without what no micro-VM needs. ACPI stays on: Debian's kernel finds virtio-mmio by it. */
const MACHINES: Readonly<Record<Machine, string>> = {
  q35: "q35,sata=off,smbus=off,vmport=off,hpet=off,usb=off",
  microvm: "microvm,x-option-roms=off,pit=off,pic=off,isa-serial=off,rtc=off",
};

/** Where the guest's kernel says its last words. The machine microvm has no serial port, but a virtio console. */
const CONSOLES: Readonly<Record<Machine, string>> = { q35: "console=ttyS0 8250.nr_uarts=1", microvm: "console=hvc0" };

/**
 * `quiet` and no console for apps: what the guest's kernel prints before it dies is all that is kept.
 * panic=-1 with -no-reboot ends QEMU at once; no boot needs tests of ciphers or timers. Mounts wait for RCU often, and
 * on so few processors an expedited one costs nobody anything. Audit has nobody to tell, and of the security modules
 * apps can use Landlock and Yama; capabilities are always there.
 */
const COMMON = [
  ...["quiet", "reboot=t", "panic=-1", "no_timer_check", "tsc=reliable", "cryptomgr.notests"],
  ...["rcupdate.rcu_expedited=1", "audit=0", "lsm=landlock,yama"],
].join(" ");

/**
 * An emulated processor runs nothing ahead, so that guards against speculation only cost time; a fifth level of page
 * tables makes each look into them longer.
 */
const EMULATED = "mitigations=off no5lvl";

/** The guest kernel's command line. Pure. */
export function kernelArguments(machine: Machine, accelerator: Accelerator): string {
  const common = `${COMMON} ${CONSOLES[machine]}`;
  return accelerator === "kvm" ? common : `${common} ${EMULATED}`;
}

/** The arguments after the name of the binary. */
export function qemuArguments(vm: VmArguments): string[] {
  const { shape, accelerator, machine, memoryFile } = vm;
  const options = MACHINES[machine];
  const device = deviceNames(machine);
  return [
    ...["-name", nameOf(vm.directory)],
    ...["-M", memoryFile === undefined ? options : `${options},memory-backend=ram`],
    ...["-accel", accelerator === "kvm" ? "kvm" : "tcg,tb-size=32"],
    ...["-cpu", accelerator === "kvm" ? "host" : "max", "-smp", String(shape.vcpus), "-m", `${shape.memoryMiB}M`],
    ...(memoryFile === undefined ? [] : ["-object", memoryBackend(shape, memoryFile.share)]),
    ...["-nodefaults", "-no-user-config", "-display", "none", "-vga", "none", "-no-reboot"],
    // The kernel of a clone is in its memory already; QEMU would keep a copy of the file.
    ...(vm.incoming
      ? []
      : ["-kernel", VIEW.kernel, "-initrd", VIEW.initramfs, "-append", kernelArguments(machine, accelerator)]),
    ...["-chardev", `socket,id=qmp,fd=${QMP_FD},server=on,wait=off`, "-mon", "chardev=qmp,mode=control"],
    ...["-chardev", `socket,id=jailer,fd=${MONITOR_FD}`, "-mon", "chardev=jailer,mode=control"],
    ...["-device", device("virtio-serial", `max_ports=${shape.logPorts + 2}`)],
    ...["-add-fd", `fd=${CONSOLE_FD},set=${CONSOLE_SET}`],
    ...["-chardev", `file,id=console,path=${fileOf(CONSOLE_SET)},append=on`],
    // Port 0 of virtio-serial is for a console.
    ...(machine === "q35" ? ["-serial", "chardev:console"] : ["-device", "virtconsole,chardev=console,nr=0"]),
    ...["-chardev", `socket,id=agent,fd=${AGENT_FD},server=on,wait=off`],
    ...["-device", "virtserialport,chardev=agent,name=gantry.agent"],
    ...numbers(shape.logPorts).flatMap(logPort),
    ...numbers(shape.disks).flatMap((slot) => [
      ...disk(slot),
      ...["-device", device("virtio-blk", `drive=${diskNode(slot)}`)],
    ]),
    ...scratch(),
    // A full disk of the host is the guest's error; it would stop the guest otherwise.
    ...["-device", device("virtio-blk", "drive=scratch,werror=report,rerror=report")],
    ...["-netdev", `tap,id=net0,fd=${TAP_FD},vhost=off`],
    ...["-device", device("virtio-net", machine === "q35" ? "netdev=net0,romfile=" : "netdev=net0")],
    ...(vm.shares === true ? ["-chardev", `socket,id=${SHARE_CHARDEV},fd=${shareFd(vm)}`] : []),
    // Where a device can be added later: one whose server has a state of its own cannot be part of a template.
    ...(machine === "q35" ? ["-device", `pcie-root-port,id=${HOT_PORT},chassis=1`] : []),
    ...(machine === "microvm" && vm.shares === true
      ? ["-device", device("vhost-user-fs", `chardev=${SHARE_CHARDEV},tag=${SHARE_TAG}`)]
      : []),
    ...["-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"],
    ...(vm.incoming ? ["-incoming", "defer"] : []),
  ];
}

/** Slots for virtio devices that the machine microvm has with ACPI (hw/i386/microvm.c). */
const MMIO_SLOTS = 24;

/**
 * Names devices as the machine's bus wants it. On the machine microvm each is given its slot, from the last one down:
 * that is the order in which its ACPI tables list them, and so in which the guest numbers its disks.
 */
function deviceNames(machine: Machine): (kind: string, options: string) => string {
  let slot = MMIO_SLOTS;
  return (kind, options) =>
    machine === "q35" ? `${kind}-pci,${options}` : `${kind}-device,bus=virtio-mmio-bus.${--slot},${options}`;
}

/** Makes the process known to whoever looks for what belongs to a directory. */
function nameOf(directory: string): string {
  return `${NAME}${directory.replaceAll(",", ",,")}${NAME_END}`;
}

/** The directory of the VM that an argument names, if it does. In a list of options a comma is written twice. */
export function directoryIn(argument: string): string | undefined {
  if (!argument.startsWith(NAME) || !argument.endsWith(NAME_END)) return undefined;
  return argument.slice(NAME.length, -NAME_END.length).replaceAll(",,", ",");
}

const NAME = "guest=";
const NAME_END = ",debug-threads=off";

function memoryBackend(shape: VmShape, share: boolean): string {
  return `memory-backend-file,id=ram,size=${shape.memoryMiB}M,mem-path=${VIEW.memory},share=${share ? "on" : "off"}`;
}

/** It writes to nothing until a container gets it; then its file is changed. */
function logPort(port: number): string[] {
  return [
    ...["-chardev", `null,id=${logChardev(port)}`],
    ...["-device", `virtserialport,chardev=${logChardev(port)},name=gantry.log.${port}`],
  ];
}

function disk(slot: number): string[] {
  const below = `driver=file,node-name=${emptyNode(slot)},filename=${VIEW.emptyDisk},read-only=on,auto-read-only=off,locking=off`;
  return [
    ...["-blockdev", below],
    ...["-blockdev", `driver=raw,node-name=${diskNode(slot)},file=${emptyNode(slot)},read-only=on`],
  ];
}

/** Nobody needs it after a crash of the host, so it is never flushed; what the guest deletes is given back. */
function scratch(): string[] {
  const below = `driver=file,node-name=scratch-file,filename=${fileOf(SCRATCH_SET)},locking=off`;
  return [
    ...["-add-fd", `fd=${SCRATCH_FD},set=${SCRATCH_SET}`],
    ...["-blockdev", `${below},discard=unmap,cache.no-flush=on`],
    ...["-blockdev", "driver=raw,node-name=scratch,file=scratch-file,discard=unmap"],
  ];
}

/** Whether devices can be added to a VM that runs. */
export const canHotPlug = (machine: Machine): boolean => machine === "q35";

function numbers(count: number): number[] {
  return Array.from({ length: count }, (_, n) => n);
}
