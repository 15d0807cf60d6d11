import { execFileSync, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { closeSync, mkdirSync, openSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { createConnection, createServer, type Socket } from "node:net";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { AgentDecoder, encodeRequest } from "../../../src/sandbox/microvm/protocol/index.ts";
import { kernelArguments } from "../../../src/sandbox/microvm/qemu/args.ts";

export interface BareVmFiles {
  readonly qemu: string;
  readonly kernel: string;
  readonly initramfs: string;
}

/** The tap of the host that all of them use, one after the other. */
const TAP = "gntbenchvm0";
const MEMORY_MIB = 128;
const DISK_BYTES = 8 * 2 ** 30;
const STATE_FD = 3;
const POLL_MS = 1;
/** Nobody loses what is sent to a VM that boots; the first bytes to a clone may be lost. */
const ASK_AGAIN_MS = { boot: 5000, clone: 5 };
const SETTLE_MS = 300;
const DEADLINE_MS = 120_000;
const CAPABILITIES = { capabilities: [{ capability: "x-ignore-shared", state: true }] };

interface Running {
  /** @returns QEMU's answer */
  readonly qmp: (command: string, args?: object) => Promise<unknown>;
  readonly hello: (askAgainMs: number) => Promise<void>;
  readonly kill: () => Promise<void>;
}

/**
 * A virtual machine as one would start it by hand: QEMU, kernel, initramfs, one disk, one port to the agent, a network
 * card. No jail, no pod, nothing of the driver's: the least that a boot and a clone take.
 */
export class BareVm {
  readonly #directory: string;
  readonly #files: BareVmFiles;

  constructor(directory: string, files: BareVmFiles) {
    this.#directory = directory;
    this.#files = files;
    mkdirSync(directory, { recursive: true });
    writeFileSync(this.#at("disk"), "");
    truncateSync(this.#at("disk"), DISK_BYTES);
    execFileSync("ip", ["tuntap", "add", "dev", TAP, "mode", "tap"]);
    execFileSync("ip", ["link", "set", TAP, "up"]);
  }

  readonly #at = (name: string): string => join(this.#directory, name);
  /** On tmpfs, as the product's are. */
  get #memory(): string {
    return `/dev/shm/${TAP}-${process.pid}`;
  }

  /** Boots a VM and leaves its memory and state for `clone`. Not measured. */
  async makeTemplate(): Promise<void> {
    const vm = this.#start(["-object", this.#backend("on")], "template");
    try {
      await vm.hello(ASK_AGAIN_MS.boot);
      await sleep(SETTLE_MS);
      await vm.qmp("stop");
      await vm.qmp("migrate-set-capabilities", CAPABILITIES);
      const server = createServer().listen(this.#at("state.sock"));
      await once(server, "listening");
      const received = once(server, "connection") as Promise<[Socket]>;
      await vm.qmp("migrate", { uri: `unix:${this.#at("state.sock")}` });
      const chunks: Buffer[] = [];
      for await (const chunk of (await received)[0]) chunks.push(chunk as Buffer);
      server.close();
      await migrated(vm);
      writeFileSync(this.#at("state"), Buffer.concat(chunks));
    } finally {
      await vm.kill();
    }
  }

  /** @returns ms from the start of QEMU with a template's state to the agent's answer */
  async clone(): Promise<number> {
    const state = openSync(this.#at("state"), "r");
    const begun = performance.now();
    const vm = this.#start(["-object", this.#backend("off"), "-incoming", "defer"], "clone", state);
    closeSync(state);
    try {
      await vm.qmp("migrate-set-capabilities", CAPABILITIES);
      await vm.qmp("migrate-incoming", { uri: `fd:${STATE_FD}` });
      await migrated(vm);
      await vm.qmp("cont");
      await vm.hello(ASK_AGAIN_MS.clone);
      return performance.now() - begun;
    } finally {
      await vm.kill();
    }
  }

  /** @returns ms from the start of QEMU to the agent's answer, of a kernel that boots */
  async boot(): Promise<number> {
    const begun = performance.now();
    const vm = this.#start([], "boot");
    try {
      await vm.hello(ASK_AGAIN_MS.boot);
      return performance.now() - begun;
    } finally {
      await vm.kill();
    }
  }

  dispose(): void {
    rmSync(this.#memory, { force: true });
    execFileSync("ip", ["link", "delete", TAP]);
  }

  #backend(share: "on" | "off"): string {
    return `memory-backend-file,id=ram,size=${MEMORY_MIB}M,mem-path=${this.#memory},share=${share}`;
  }

  #start(more: readonly string[], name: string, state?: number): Running {
    const [agent, monitor] = [this.#at(`${name}.agent`), this.#at(`${name}.qmp`)];
    const { qemu, kernel, initramfs } = this.#files;
    const backend = more.length > 0 ? ",memory-backend=ram" : "";
    const args = [
      ...["-M", `q35,sata=off,smbus=off,vmport=off,hpet=off,usb=off${backend}`],
      ...["-accel", "tcg,tb-size=32", "-cpu", "max", "-smp", "1", "-m", String(MEMORY_MIB)],
      ...["-nodefaults", "-no-user-config", "-display", "none", "-vga", "none", "-no-reboot"],
      ...["-kernel", kernel, "-initrd", initramfs],
      ...["-append", kernelArguments("q35", "tcg")],
      ...["-serial", `file:${this.#at(`${name}.log`)}`],
      ...["-device", "virtio-serial-pci", "-chardev", `socket,id=agent,path=${agent},server=on,wait=off`],
      ...["-device", "virtserialport,chardev=agent,name=gantry.agent"],
      ...["-blockdev", `driver=raw,node-name=disk,read-only=on,file.driver=file,file.filename=${this.#at("disk")}`],
      ...["-device", "virtio-blk-pci,drive=disk"],
      ...[
        "-netdev",
        `tap,id=net,ifname=${TAP},script=no,downscript=no`,
        "-device",
        "virtio-net-pci,netdev=net,romfile=",
      ],
      ...["-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"],
      ...["-qmp", `unix:${monitor},server=on,wait=off`],
      ...more,
    ];
    for (const socket of [agent, monitor]) rmSync(socket, { force: true });
    const child = spawn(qemu, args, {
      stdio: ["ignore", "ignore", "inherit", ...(state === undefined ? [] : [state])],
    });
    const ended = once(child, "exit").then((): never => {
      throw new Error("the QEMU of the comparison has ended");
    });
    ended.catch(() => {}); // it is killed at last
    const open = AbortSignal.timeout(DEADLINE_MS);
    const control = openQmp(monitor, open);
    control.catch(() => {});
    return {
      qmp: async (command, args) => await Promise.race([ended, (await Promise.race([ended, control]))(command, args)]),
      hello: async (askAgainMs) => await Promise.race([ended, sayHello(agent, askAgainMs, open)]),
      kill: async () => {
        child.kill("SIGKILL");
        await ended.catch(() => {});
      },
    };
  }
}

async function migrated({ qmp }: Running): Promise<void> {
  for (;;) {
    const { status } = (await qmp("query-migrate")) as { status?: string };
    if (status === "completed") return;
    if (status === "failed") throw new Error("the state of the comparison's template was not taken");
    await sleep(POLL_MS);
  }
}

/** Commands are sent one by one, each is answered by a line with "return". */
async function openQmp(path: string, signal: AbortSignal): Promise<Running["qmp"]> {
  const socket = await connected(path, signal);
  const lines = createInterface({ input: socket })[Symbol.asyncIterator]();
  const qmp = async (execute: string, args: object = {}): Promise<unknown> => {
    socket.write(`${JSON.stringify({ execute, arguments: args })}\n`);
    for (;;) {
      const line = await lines.next();
      if (line.done === true) throw new Error("QEMU has closed its monitor");
      const answer = JSON.parse(line.value) as { return?: unknown; error?: { desc: string } };
      if (answer.error !== undefined) throw new Error(`${execute}: ${answer.error.desc}`);
      if (answer.return !== undefined) return answer.return;
    }
  };
  await qmp("qmp_capabilities");
  return qmp;
}

async function sayHello(path: string, askAgainMs: number, signal: AbortSignal): Promise<void> {
  const socket = await connected(path, signal);
  const nonce = randomBytes(8).toString("hex");
  const decoder = new AgentDecoder(nonce);
  const hello = encodeRequest({ type: "hello", body: { nonce } }, 1);
  const again = setInterval(() => socket.write(hello), askAgainMs);
  socket.write(hello);
  try {
    while (!decoder.ready) {
      const [chunk] = (await once(socket, "data", { signal })) as [Buffer];
      for (const _ of decoder.push(chunk));
    }
  } finally {
    clearInterval(again);
    socket.destroy();
  }
}

async function connected(path: string, signal: AbortSignal): Promise<Socket> {
  for (;;) {
    const socket = createConnection(path);
    try {
      await once(socket, "connect");
      return socket;
    } catch {
      signal.throwIfAborted(); // nobody listens there yet
      await sleep(POLL_MS);
    }
  }
}
