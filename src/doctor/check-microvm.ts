import { type Check, ok, warn } from "./check.ts";
import type { HostFacts, KvmFacts, MicrovmFacts } from "./facts.ts";

/** What a template of the smallest VM takes. */
const TEMPLATE_BYTES = 128 * 2 ** 20;
const INSTALL_COMPILER = "apt-get install --no-install-recommends gcc libc6-dev";

/** What pods with runtimeClassName: microvm need. Never a failure: all other pods run without. */
export function checkMicrovm({ microvm, kvm, machine, kernelRelease }: HostFacts): Check[] {
  if (machine !== "x64") {
    const found = `not on ${machine} yet: only x86-64 hosts run micro-VM pods`;
    return [warn("micro-VMs", found, "Use runtimeClassName: namespace, which is the default.")];
  }
  return [
    checkQemu(microvm),
    checkVmKernel(microvm),
    checkAgent(microvm),
    checkAccelerator(microvm, kvm),
    ...checkRelease(kernelRelease),
    ...checkTap(microvm),
    ...checkRedirect(microvm),
    ...checkTemplates(microvm),
  ];
}

function checkQemu({ qemu, qemuSetting }: MicrovmFacts): Check {
  if (qemu !== undefined) return ok("QEMU", `${qemu.version} (${qemu.path})`);
  if (qemuSetting !== undefined)
    return warn(
      "QEMU",
      `there is none at ${qemuSetting}: micro-VM pods wait`,
      "Correct microvm.qemu, or leave it out.",
    );
  return warn("QEMU", "missing: micro-VM pods wait", "apt-get install --no-install-recommends qemu-system-x86");
}

function checkVmKernel({ kernel, fetchable }: MicrovmFacts): Check {
  const name = "micro-VM kernel";
  if (kernel === "absent") {
    if (fetchable) return ok(name, "none yet: it is fetched with the first micro-VM pod");
    const found = "none, and this is no Debian system to fetch one from: micro-VM pods wait";
    return warn(name, found, "Set microvm.kernel to a Linux kernel with virtio, overlayfs and EROFS.");
  }
  return "name" in kernel ? ok(name, kernel.name) : warn(name, kernel.wrong, kernel.mend);
}

function checkAgent({ agent }: MicrovmFacts): Check {
  const name = "micro-VM agent";
  switch (agent) {
    case "ready":
      return ok(name, "compiled");
    case "compilable":
      return ok(name, "not compiled yet: that is done with the first micro-VM pod");
    case "no-compiler":
      return warn(name, "not compiled, and there is no C compiler with a static library", INSTALL_COMPILER);
  }
}

/** Micro-VMs run without KVM, too; they only compute more slowly. */
function checkAccelerator({ accelerator }: MicrovmFacts, kvm: KvmFacts): Check {
  if (accelerator === "untried") return ok("KVM", `looks usable, tried with the first micro-VM (${describe(kvm)})`);
  const { used, why } = accelerator;
  if (used === "kvm") return ok("KVM", `used: ${why}`);
  return warn("KVM", `not used, micro-VMs run with tcg: ${why} (${describe(kvm)})`, mendKvm(kvm));
}

/** The jail of a VM is built with mount_setattr, which came with it. Neither vhost nor vsock is needed. */
const OLDEST = [5, 12] as const;

function checkRelease(release: string): Check[] {
  const [major = 0, minor = 0] = release.split(/[.-]/).map(Number);
  if (major > OLDEST[0] || (major === OLDEST[0] && minor >= OLDEST[1])) return [];
  const found = `${release} is too old: micro-VM pods wait`;
  return [warn("kernel for micro-VMs", found, `Use Linux ${OLDEST.join(".")} or newer.`)];
}

function checkRedirect({ redirect }: MicrovmFacts): Check[] {
  if (redirect !== "no") return [];
  const mend =
    "modprobe -a sch_ingress cls_u32 act_mirred; if there are none, use a kernel with them; tc is in iproute2.";
  return [warn("redirection", "tc cannot redirect packets: micro-VM pods get no network and wait", mend)];
}

function checkTap({ tun }: MicrovmFacts): Check[] {
  if (tun) return [];
  const mend = "modprobe tun; in a container: give it the device /dev/net/tun.";
  return [warn("tap devices", "no /dev/net/tun: micro-VM pods get no network and wait", mend)];
}

function checkTemplates({ templateBytes }: MicrovmFacts): Check[] {
  if (templateBytes !== undefined && templateBytes >= TEMPLATE_BYTES) return [];
  const found = templateBytes === undefined ? "there is no /dev/shm" : "/dev/shm is nearly full";
  const mend = "mount -o remount,size=50% /dev/shm; in a container: start it with a larger --shm-size.";
  return [warn("micro-VM templates", `${found}: micro-VMs are booted instead of cloned, which takes seconds`, mend)];
}

function describe({ cpuFlag, modules, virtual }: KvmFacts): string {
  const cpu = cpuFlag === undefined ? "no vmx or svm flag" : cpuFlag;
  return [
    cpu,
    modules.length > 0 ? `modules ${modules.join(", ")}` : "no kvm module",
    virtual ? "inside a virtual machine" : undefined,
  ]
    .filter(Boolean)
    .join("; ");
}

function mendKvm({ cpuFlag, device, modules, virtual }: KvmFacts): string {
  if (device === "denied") return "Run as root, or: usermod -aG kvm $USER";
  const module = cpuFlag === "vmx" ? "kvm_intel" : "kvm_amd";
  if (cpuFlag !== undefined && !modules.includes(module)) return `modprobe ${module}`;
  if (cpuFlag !== undefined) return "See 'dmesg' for what KVM says; microvm.accelerator can name one by hand.";
  return virtual
    ? "Turn on nested virtualization on the host of this machine."
    : "Turn on VT-x or AMD-V in the firmware.";
}
