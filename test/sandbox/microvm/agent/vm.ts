import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ensureBootFiles } from "../../../../src/sandbox/microvm/boot/index.ts";
import { emptyScratch, openScratch } from "../../../../src/sandbox/microvm/scratch.ts";
import { BOOT_CACHE } from "../../../support/boot-cache.ts";
import { Client } from "./client.ts";

const LOG_PORTS = 3;
const NEVER: AbortSignal = new AbortController().signal;
const SCRATCH_BYTES = 80 << 20;

/** A disk with busybox and a few files, as an image would be. */
export function busyboxDisk(directory: string): string {
  const root = join(directory, "rootfs");
  for (const path of ["bin", "etc", "tmp"]) mkdirSync(join(root, path), { recursive: true });
  execFileSync("cp", ["/bin/busybox", join(root, "bin/busybox")]);
  for (const name of "sh cat echo ls id sleep true false mount touch stty printf wc grep head ps seq stat kill dd mknod ip hostname nc date uname ulimit tail".split(
    " ",
  )) {
    symlinkSync("busybox", join(root, "bin", name));
  }
  writeFileSync(join(root, "etc/passwd"), "root:x:0:0::/:/bin/sh\n");
  const disk = join(directory, "image.erofs");
  execFileSync("mkfs.erofs", [disk, root], { stdio: "ignore" });
  truncateSync(disk, 1 << 30);
  return disk;
}

/** A micro-VM on QEMU's software emulation, as the driver would start it but without its isolation. */
export class Vm {
  readonly directory = mkdtempSync(join(tmpdir(), "gantry-vm-"));
  #process: ChildProcess | undefined;
  bootMs = 0;

  async boot(): Promise<Client> {
    const files = await ensureBootFiles({ cacheDir: BOOT_CACHE });
    const path = (name: string): string => join(this.directory, name);
    const disk = busyboxDisk(this.directory);
    const scratch = await openScratch(
      path("disks"),
      "scratch",
      await emptyScratch(path("disks"), SCRATCH_BYTES, NEVER),
      NEVER,
    );
    const ports = Array.from({ length: LOG_PORTS }, (_, n) => n).flatMap((n) => [
      ...["-chardev", `file,id=l${n},path=${path(`log${n}`)},append=on`],
      ...["-device", `virtserialport,chardev=l${n},name=gantry.log.${n}`],
    ]);
    const started = performance.now();
    this.#process = spawn(
      "qemu-system-x86_64",
      [
        ...[
          "-M",
          "q35,sata=off,smbus=off,vmport=off,hpet=off,usb=off",
          "-accel",
          "tcg,tb-size=32",
          "-cpu",
          "max",
          "-m",
          "128",
        ],
        ...["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-vga", "none"],
        ...["-kernel", files.kernel.image, "-initrd", files.initramfs],
        ...[
          "-append",
          "quiet console=ttyS0 reboot=t panic=-1 no_timer_check tsc=reliable 8250.nr_uarts=1 cryptomgr.notests",
        ],
        ...["-serial", `file:${path("console")}`, "-device", "virtio-serial-pci"],
        ...["-chardev", `socket,id=a,path=${path("agent")},server=on,wait=off`],
        ...["-device", "virtserialport,chardev=a,name=gantry.agent", ...ports],
        ...["-drive", `if=virtio,format=raw,file=${disk},read-only=on`],
        ...["-drive", "if=virtio,format=raw,file=/proc/self/fd/3"],
        ...["-netdev", "hubport,id=n0,hubid=0", "-device", "virtio-net-pci,netdev=n0,romfile="],
      ],
      { stdio: ["ignore", "inherit", "inherit", scratch.fd] },
    );
    await scratch.close();
    const client = await Client.connect(path("agent"));
    await client.hello();
    this.bootMs = performance.now() - started;
    return client;
  }

  connect(): Promise<Client> {
    return Client.connect(join(this.directory, "agent"));
  }

  log(port: number): string {
    return readFileSync(join(this.directory, `log${port}`), "utf8");
  }

  console(): string {
    return readFileSync(join(this.directory, "console"), "utf8");
  }

  /** Resolves with QEMU's exit code. */
  async ended(): Promise<number | null> {
    if (!this.#process) throw new Error("not booted");
    if (this.#process.exitCode === null) await once(this.#process, "exit");
    return this.#process.exitCode;
  }

  async stop(): Promise<void> {
    const running = this.#process;
    if (running && running.exitCode === null && running.signalCode === null) {
      running.kill("SIGKILL");
      await once(running, "exit");
    }
    rmSync(this.directory, { recursive: true, force: true });
  }
}
