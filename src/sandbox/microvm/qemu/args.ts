/** The command line of a micro-VM's QEMU. Pure. */

/** What the virtual hardware consists of. A template serves every VM of its shape, and no other. */
export interface VmShape {
  readonly memoryMiB: number;
  readonly vcpus: number;
  /** Read-only disks for images. */
  readonly disks: number;
  /** Log ports: one per running container, and one to switch to when a log file is replaced. */
  readonly logPorts: number;
}

export type Accelerator = "kvm" | "tcg";

export interface VmArguments {
  readonly shape: VmShape;
  readonly accelerator: Accelerator;
  readonly kernel: string;
  readonly initramfs: string;
  /** What every disk is before it has an image: sparse, as large as any image file. */
  readonly emptyDisk: string;
  /** The network interface on the host. */
  readonly tap: string;
  /** Absolute path of the directory that QEMU runs in; everything relative is there. Tells whose process it is. */
  readonly directory: string;
  /** A file on tmpfs with the guest's memory. A template's own is shared, a clone's copied when it is written to. */
  readonly memoryFile?: { readonly path: string; readonly share: boolean };
  /** Waits for the state of a template instead of booting. */
  readonly incoming: boolean;
}

/** The names of QEMU's sockets and files in a VM's directory. */
export const VM_FILES = { qmp: "qmp.sock", agent: "agent.sock", console: "console.log", pid: "qemu.pid" } as const;

/** Node names on the block layer's graph: `disk` is what the guest's device has, `empty` what is below it at first. */
export const diskNode = (slot: number): string => `disk${slot}`;
export const emptyNode = (slot: number): string => `empty${slot}`;
export const logChardev = (port: number): string => `log${port}`;

/**
 * `quiet` and no serial console for apps: what the guest's kernel prints before it dies is all that is kept.
 * panic=-1 with -no-reboot ends QEMU at once; a boot under emulation needs no tests of ciphers or timers.
 */
const KERNEL_ARGUMENTS: Readonly<Record<Accelerator, string>> = {
  tcg: "quiet console=ttyS0 reboot=t panic=-1 no_timer_check tsc=reliable 8250.nr_uarts=1 cryptomgr.notests",
  kvm: "quiet console=ttyS0 reboot=t panic=-1 no_timer_check tsc=reliable 8250.nr_uarts=1 cryptomgr.notests rcupdate.rcu_expedited=1",
};

const MACHINE = "q35,sata=off,smbus=off,vmport=off,hpet=off,usb=off";

/** The arguments after the name of the binary. */
export function qemuArguments(vm: VmArguments): string[] {
  const { shape, accelerator, memoryFile } = vm;
  const machine = memoryFile === undefined ? MACHINE : `${MACHINE},memory-backend=ram`;
  return [
    // The directory makes the process known to whoever looks for what belongs to a sandbox.
    ...["-name", `gantry,debug-threads=off`, "-pidfile", `${vm.directory}/${VM_FILES.pid}`],
    ...["-M", machine, "-accel", accelerator === "kvm" ? "kvm" : "tcg,tb-size=32"],
    ...["-cpu", accelerator === "kvm" ? "host" : "max", "-smp", String(shape.vcpus), "-m", `${shape.memoryMiB}M`],
    ...(memoryFile === undefined ? [] : ["-object", memoryBackend(shape, memoryFile)]),
    ...["-nodefaults", "-no-user-config", "-display", "none", "-vga", "none", "-no-reboot"],
    ...["-kernel", vm.kernel, "-initrd", vm.initramfs, "-append", KERNEL_ARGUMENTS[accelerator]],
    ...["-serial", `file:${VM_FILES.console}`],
    ...["-qmp", `unix:${VM_FILES.qmp},server=on,wait=off`],
    ...["-device", `virtio-serial-pci,max_ports=${shape.logPorts + 2}`],
    ...["-chardev", `socket,id=agent,path=${VM_FILES.agent},server=on,wait=off`],
    ...["-device", "virtserialport,chardev=agent,name=gantry.agent"],
    ...numbers(shape.logPorts).flatMap(logPort),
    ...numbers(shape.disks).flatMap((slot) => disk(slot, vm.emptyDisk)),
    ...network(vm.tap),
    ...["-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"],
    ...(vm.incoming ? ["-incoming", "defer"] : []),
  ];
}

function memoryBackend(shape: VmShape, file: { readonly path: string; readonly share: boolean }): string {
  const share = file.share ? "on" : "off";
  return `memory-backend-file,id=ram,size=${shape.memoryMiB}M,mem-path=${escaped(file.path)},share=${share}`;
}

/** It writes to nothing until a container gets it; then its file is changed. */
function logPort(port: number): string[] {
  return [
    ...["-chardev", `file,id=${logChardev(port)},path=/dev/null`],
    ...["-device", `virtserialport,chardev=${logChardev(port)},name=gantry.log.${port}`],
  ];
}

function disk(slot: number, file: string): string[] {
  const below = `driver=file,node-name=${emptyNode(slot)},filename=${escaped(file)},read-only=on,auto-read-only=off,locking=off`;
  return [
    ...["-blockdev", below],
    ...["-blockdev", `driver=raw,node-name=${diskNode(slot)},file=${emptyNode(slot)},read-only=on`],
    ...["-device", `virtio-blk-pci,drive=${diskNode(slot)}`],
  ];
}

function network(tap: string): string[] {
  const backend = `tap,id=net0,ifname=${tap},script=no,downscript=no,vhost=off`;
  return ["-netdev", backend, "-device", "virtio-net-pci,netdev=net0,romfile="];
}

/** In a list of options a comma is written twice. */
function escaped(value: string): string {
  return value.replaceAll(",", ",,");
}

function numbers(count: number): number[] {
  return Array.from({ length: count }, (_, n) => n);
}
