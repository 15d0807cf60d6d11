import { GantryError } from "../../../system/errors.ts";
import { findBinary } from "../../namespace/runtime.ts";

/** The name of the emulator, as Debian and others have it. */
const QEMU = "qemu-system-x86_64";

/**
 * Path of the QEMU in PATH. Looked for each time: once it is installed, the pods that wait for it go on.
 * @throws GantryError host-unsupported
 */
export function findQemu(own?: string, arch: string = process.arch): string {
  if (arch !== "x64") {
    throw new GantryError("host-unsupported", `micro-VM pods run on x86-64 hosts so far, and this one is ${arch}`, {
      hint: "Use runtimeClassName: namespace here.",
    });
  }
  const path = findBinary(own ?? QEMU);
  if (path !== undefined) return path;
  if (own !== undefined) {
    throw new GantryError("host-unsupported", `micro-VM pods need QEMU, and there is none at ${own}`, {
      hint: "Correct microvm.qemu in the configuration, or leave it out.",
    });
  }
  throw new GantryError("host-unsupported", `micro-VM pods need QEMU, and there is no ${QEMU} in PATH`, {
    hint: "Install it (Debian: apt-get install --no-install-recommends qemu-system-x86), or use runtimeClassName: namespace.",
  });
}
