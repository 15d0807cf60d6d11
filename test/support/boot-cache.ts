import { tmpdir } from "node:os";
import { join } from "node:path";

/** Where all tests have the kernel and initramfs of micro-VMs. Kept between runs: the kernel is a download of 26 MB. */
export const BOOT_CACHE = process.env["GANTRY_TEST_BOOT_CACHE"] ?? join(tmpdir(), "gantry-test-boot");
