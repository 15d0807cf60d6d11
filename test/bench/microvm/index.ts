import { join } from "node:path";
import { ensureBootFiles } from "../../../src/sandbox/microvm/boot/index.ts";
import { TestHost } from "../../e2e/harness/host.ts";
import { BOOT_CACHE } from "../../support/boot-cache.ts";
import type { Bench } from "../context.ts";
import type { Figure } from "../figures.ts";
import type { Podman } from "../podman.ts";
import { PodWatch } from "../watch.ts";
import { BareVm } from "./bare-vm.ts";
import { benchVmExec } from "./exec.ts";
import { benchManyVms } from "./many.ts";
import { benchVmStart } from "./start.ts";

const QEMU = "/usr/bin/qemu-system-x86_64";

/** Micro-VM pods: their start by cloning and by booting, commands in them, and what twenty of them cost. */
export async function benchMicrovm(bench: Bench, podman: Podman | undefined): Promise<Figure[]> {
  const { host, say } = bench;
  const { kernel, initramfs } = await ensureBootFiles({ cacheDir: BOOT_CACHE, say });
  await using booting = new TestHost({
    images: host.paths.images,
    vm: { boot: BOOT_CACHE },
    ...(host.launcher === undefined ? {} : { launcher: host.launcher }),
  });
  await booting.startDaemon({ args: ["--set", "microvm.templates.keep=0"] });
  const watch = await PodWatch.open(booting.paths.socket);
  await using cloning = new TestHost({
    images: host.paths.images,
    vm: { boot: BOOT_CACHE },
    ...(host.launcher === undefined ? {} : { launcher: host.launcher }),
  });
  await cloning.startDaemon();
  const watchClones = await PodWatch.open(cloning.paths.socket);
  const bare = new BareVm(join(host.directory, "bare-vm"), { qemu: QEMU, kernel: kernel.image, initramfs });
  try {
    const start = await benchVmStart(bench, {
      bare,
      podman,
      booting: { ...bench, host: booting, watch },
      cloning: { ...bench, host: cloning, watch: watchClones },
    });
    return [...start.figures, ...(await benchVmExec(bench)), ...(await benchManyVms(bench, start))];
  } finally {
    watch.close();
    watchClones.close();
    bare.dispose();
  }
}
