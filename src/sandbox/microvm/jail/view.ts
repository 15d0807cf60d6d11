import { lstatSync, readlinkSync, realpathSync } from "node:fs";
import { dirname, join } from "node:path";
import type { Jailer } from "../boot/index.ts";
import { VIEW, type VmArguments } from "../qemu/args.ts";

/** One thing in QEMU's view of the file system, which is otherwise empty. Paths are absolute. */
export interface ViewEntry {
  /** "node": a device of its own, the same as `source`. "link": `source` is what the link says. */
  readonly kind: "ro" | "rw" | "dev" | "node" | "link";
  readonly source: string;
  readonly target: string;
}

/** What the loader and QEMU read of the host: libraries, firmware. No program, no configuration, nothing of any pod. */
const SHARED = ["/usr/lib", "/usr/lib64", "/usr/share/qemu", "/usr/share/seabios", "/etc/ld.so.cache"];
const LINKS = ["/lib", "/lib64"];
const KVM = "/dev/kvm";

/**
 * Everything that a VM's QEMU can see, all of it read-only but the memory of a template that is being built.
 * @param more what this VM has beside what every VM has
 */
export function viewOf(
  binary: string,
  vm: Pick<VmArguments, "kernel" | "initramfs" | "emptyDisk" | "memoryFile" | "accelerator">,
  jailer: Jailer,
  more: readonly ViewEntry[] = [],
): ViewEntry[] {
  const ro = (source: string, target = source): ViewEntry => ({ kind: "ro", source, target });
  return [
    ...SHARED.filter(isThere).map((path) => ro(path)),
    ...LINKS.filter(isThere).map((path) => (isLink(path) ? link(path) : ro(path))),
    ...program(binary).map((path) => ro(path)),
    { kind: "dev", source: "/dev/null", target: "/dev/null" },
    ...(vm.accelerator === "kvm" ? [{ kind: "node", source: KVM, target: KVM } as const] : []),
    ...[ro(vm.kernel, VIEW.kernel), ro(vm.initramfs, VIEW.initramfs), ro(vm.emptyDisk, VIEW.emptyDisk)],
    ...memory(vm.memoryFile, jailer),
    ...more,
  ];
}

function memory(file: VmArguments["memoryFile"], { readOnlyMemory, preload }: Jailer): ViewEntry[] {
  if (file === undefined) return [];
  if (file.share) return [{ kind: "rw", source: file.path, target: VIEW.memory }];
  return [
    { kind: "ro", source: file.path, target: VIEW.memory },
    { kind: "ro", source: readOnlyMemory, target: VIEW.readOnlyMemory },
    { kind: "ro", source: preload, target: "/etc/ld.so.preload" },
  ];
}

/** Debian's needs no more than itself; one from elsewhere brings the directories beside it. */
function program(binary: string): string[] {
  const prefix = dirname(dirname(binary));
  return prefix === "/usr" ? [binary] : [prefix];
}

/** The path of QEMU's program with links followed: what is mounted in the view. */
export function realProgram(binary: string): string {
  try {
    return realpathSync(binary);
  } catch {
    return binary; // the jailer says what is wrong
  }
}

function link(path: string): ViewEntry {
  return { kind: "link", source: join("/", readlinkSync(path)), target: path };
}

function isThere(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false }) !== undefined;
}

function isLink(path: string): boolean {
  return lstatSync(path).isSymbolicLink();
}
